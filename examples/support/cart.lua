--- The cart and its pole: the task of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve
-- difficult learning control problems" (1983), with the equations, constants and limits of Gym's CartPole-v1.
-- A state is an array of the cart's position (m) and speed (m/s), the pole's angle from upright (rad) and its speed
-- (rad/s).

local torch = require "moontorch"

-- Half the track (m) and the pole's whole length (m).
local cart = { TRACK = 2.4, LENGTH = 1.0 }

-- m/s², kg, kg, m, N, s, rad.
local GRAVITY, CART, POLE, HALF_LENGTH, FORCE, INTERVAL, LEAN = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02, math.rad(12)

--- A state to start from, drawn near rest.
function cart.start()
  return torch.empty(4, { device = "cpu" }):uniform_(-0.05, 0.05):tolist()
end

--- The state one interval after a push to the left (action 1) or to the right (2), and whether the pole has fallen or
-- the cart has left its track.
function cart.push(state, action)
  local x, speed, angle, turn = table.unpack(state)
  local force = action == 2 and FORCE or -FORCE
  local sine, cosine = math.sin(angle), math.cos(angle)
  local mass = CART + POLE
  local common = (force + POLE * HALF_LENGTH * turn ^ 2 * sine) / mass
  local turning = (GRAVITY * sine - cosine * common) / (HALF_LENGTH * (4 / 3 - POLE * cosine ^ 2 / mass))
  local pulling = common - POLE * HALF_LENGTH * turning * cosine / mass
  x, angle = x + INTERVAL * speed, angle + INTERVAL * turn
  return { x, speed + INTERVAL * pulling, angle, turn + INTERVAL * turning },
    math.abs(x) > cart.TRACK or math.abs(angle) > LEAN
end

return cart
