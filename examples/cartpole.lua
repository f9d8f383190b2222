--- Learns to balance a pole on a cart by trial and error, shows how it got better, and plays an episode.
--
--   lua examples/cartpole.lua [--steps N] [--seed N] [--out FILE] [--device cuda]
--   lua examples/cartpole.lua --load FILE [--seed N]
--
-- The task is that of Gym's CartPole-v1 (support/cart.lua): push the cart left or right; a reward of 1 for each step
-- until the pole falls, the cart leaves its track, or 500 steps are done. It counts as solved when 100 episodes have a
-- mean return of 475; learning goes on a little longer, until the last 100 had 490.
-- The method is REINFORCE (Williams 1992) with a baseline: a second network says what return to expect, and actions
-- after which there was more become likelier.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local options = require "support.options"
local cart = require "support.cart"
local canvas = require "support.canvas"

local nn, F = torch.nn, torch.nn.functional

local LIMIT, SOLVED, ENOUGH, EPISODES = 500, 475, 490, 100
local BATCH, LEARNING_RATE, DISCOUNT, ENTROPY = 16, 0.01, 0.99, 0.01

-- States [n, 4] in, out scores of the two actions [n, 2] and expected returns [n].
local Player = nn.class("Player")

function Player:init()
  self.policy = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
  self.value = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1))
end

function Player:forward(states)
  return self.policy(states), self.value(states):squeeze(2)
end

-- Plays `count` episodes side by side: an array of {states, actions, last = the state after, failed = boolean}. Actions
-- are drawn as likely as the policy finds them, or are its favourites when `greedy`.
local function play(player, count, greedy)
  local _ <close> = torch.no_grad()
  local episodes, running = {}, {}
  for i = 1, count do
    episodes[i] = { states = {}, actions = {}, last = cart.start() }
    running[i] = episodes[i]
  end
  for _ = 1, LIMIT do
    local states = {}
    for i, episode in ipairs(running) do states[i] = episode.last end
    local scores = player.policy(torch.tensor(states))
    local actions = greedy and scores:argmax(2) or F.softmax(scores, 2):multinomial(1):flatten()
    local still = {}
    for i, action in ipairs(actions:cpu():tolist()) do
      local episode = running[i]
      table.insert(episode.states, episode.last)
      table.insert(episode.actions, action)
      episode.last, episode.failed = cart.push(episode.last, action)
      if not episode.failed then still[#still + 1] = episode end
    end
    running = still
    if #running == 0 then break end
  end
  return episodes
end

-- Discounted returns of an episode from each of its states on. One that was cut off at the limit would have gone on:
-- what it would have got is the value of its last state.
local function returns_of(player, episode)
  local sum = 0
  if not episode.failed then sum = player.value:predict(torch.tensor(episode.last)):item() end
  local returns = {}
  for i = #episode.states, 1, -1 do
    sum = 1 + DISCOUNT * sum
    returns[i] = sum
  end
  return returns
end

local function learn(player, optimizer, episodes)
  local states, actions, returns = {}, {}, {}
  for _, episode in ipairs(episodes) do
    table.move(episode.states, 1, #episode.states, #states + 1, states)
    table.move(episode.actions, 1, #episode.actions, #actions + 1, actions)
    local own = returns_of(player, episode)
    table.move(own, 1, #own, #returns + 1, returns)
  end
  returns = torch.tensor(returns)
  local scores, values = player(torch.tensor(states))
  local surprise = (returns - values):detach()
  surprise = (surprise - surprise:mean()) / (surprise:std() + 1e-8)
  local chances = F.log_softmax(scores, 2)
  local chosen = chances:gather(2, torch.tensor(actions):unsqueeze(2)):squeeze(2)
  local entropy = -(chances:exp() * chances):sum(2):mean()
  local loss = -(surprise * chosen):mean() - ENTROPY * entropy + F.smooth_l1_loss(values, returns)
  optimizer:zero_grad()
  loss:backward()
  nn.utils.clip_grad_norm_(player:parameters(), 1)
  optimizer:step()
end

-- Mean of the last `count` numbers.
local function mean_of_last(list, count)
  local sum, first = 0, math.max(1, #list - count + 1)
  for i = first, #list do sum = sum + list[i] end
  return sum / math.max(1, #list - first + 1)
end

-- Plays and learns until the last 100 episodes are good enough, at most `steps` times. Returns the steps it took, and
-- how long each episode lasted.
local function train(player, steps)
  local optimizer = torch.optim.Adam(player:parameters(), { lr = LEARNING_RATE })
  local returns = {}
  local bar = torch.utils.progress(steps, { desc = "training" })
  for step in bar do
    local episodes = play(player, BATCH)
    for _, episode in ipairs(episodes) do returns[#returns + 1] = #episode.states end
    local mean = mean_of_last(returns, EPISODES)
    bar:set { mean_return = mean }
    if #returns >= EPISODES and mean >= ENOUGH then
      bar:close()
      return step, returns
    end
    learn(player, optimizer, episodes)
  end
  return steps, returns
end

-- Lines that show a state: the track, the cart, the pole.
local function frame(state, title)
  local columns, rows = 38, 6
  local picture = canvas.new(columns, rows)
  local scale = (columns * 2 - 1) / (2 * cart.TRACK)
  local x, top, length = (state[1] + cart.TRACK) * scale, 3, cart.LENGTH * scale
  picture:line(0, 0, columns * 2, 0)
  for height = 1, top do picture:line(x - 5, height, x + 5, height) end
  picture:line(x, top, x + math.sin(state[3]) * length, top + math.cos(state[3]) * length)
  local lines = picture:lines()
  table.insert(lines, 1, title .. (" "):rep(columns - utf8.len(title)))
  return lines
end

-- Four states of an episode from its first to its last.
local function show_episode(episode)
  local n = #episode.states
  print(string.format("\nAn episode of %d steps:", n))
  for row = 0, 1 do
    local frames = {}
    for column = 0, 1 do
      local step = 1 + (n - 1) * (row * 2 + column) // 3
      local state = episode.states[step]
      frames[column + 1] = frame(state, string.format("step %d: %.2f m, %.1f°", step, state[1], math.deg(state[3])))
    end
    for i, line in ipairs(frames[1]) do print((line .. "    " .. frames[2][i]):match("^(.-) *$")) end
  end
end

local function show_learning(returns)
  local means = {}
  for i = BATCH, #returns, BATCH do
    local sum = 0
    for k = i - BATCH + 1, i do sum = sum + returns[k] end
    means[#means + 1] = sum / BATCH
  end
  print(string.format("\nMean return of %d episodes:", BATCH))
  canvas.show_curve(means, 0, LIMIT, "episode 1", tostring(#returns))
end

local function judge(player)
  local episodes = play(player, EPISODES, true)
  show_episode(episodes[1])
  local sum = 0
  for _, episode in ipairs(episodes) do sum = sum + #episode.states end
  local mean = sum / EPISODES
  print(string.format("\nmean return of %d new episodes: %.1f, %s", EPISODES, mean,
    mean >= SOLVED and "solved" or "not solved"))
end

local function main()
  local given = options.parse(arg, "cartpole.lua [--steps N] [--seed N] [--out FILE] [--device NAME] | --load FILE "
    .. "[--seed N]", { steps = 500, seed = 1, out = "cartpole.safetensors" })
  torch.manual_seed(given.seed)
  local player = Player()
  if given.load then
    player:load_state_dict(torch.utils.safetensors.load_file(given.load))
    return judge(player)
  end
  print(player)
  local started = torch.clock()
  local steps, returns = train(player, given.steps)
  print(string.format("%d steps of learning from %d episodes each in %.1f s; mean return of the last %d: %.1f", steps,
    BATCH, torch.clock() - started, EPISODES, mean_of_last(returns, EPISODES)))
  show_learning(returns)
  judge(player)
  torch.utils.safetensors.save_file(player:state_dict(), given.out, { format = "pt" })
  print("saved as " .. given.out)
end

main()
