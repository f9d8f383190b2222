--- torch.cuda's streams and events.
--
-- A stream is a device and a number (0 is the default one); objects of one stream are equal. An event owns what the
-- runtime made for it. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-streams

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local binding = require "moontorch.cuda.binding"

local streams = {}
local call, device_index = binding.call, binding.index

local Stream = binding.class("Stream")
local Event = binding.class("Event")

-- The object of a stream that is there.
local function set_stream(self, index, number, priority)
  self.device_index, self.stream_id, self.priority = index, number, priority
  self.device = core.device("cuda", index)
  self.cuda_stream = call("Stream", "stream_handle", index, number)
  return self
end

local function stream_object(index, number)
  return set_stream(setmetatable({}, Stream), index, number, number == 0 and 0 or -((number - 1) // 32))
end

local function check_stream(name, stream)
  if not binding.is(stream, Stream) then
    core.raise(name, "argument 'stream' must be a torch.cuda.Stream, not %s", arguments.type_name(stream))
  end
  return stream
end

local function check_event(name, event)
  if not binding.is(event, Event) then
    core.raise(name, "argument 'event' must be a torch.cuda.Event, not %s", arguments.type_name(event))
  end
  return event
end

local stream_arguments = arguments.signature("Stream", { { "device", "any?" }, { "priority", "integer", 0 } })

--- Stream(device, priority): a queue of work on a device, the current one unless told otherwise, beside its other
-- streams. A lower priority goes first; it is clamped to what the device has. Work of different streams is in no order
-- unless wait_stream, wait_event or the host's waiting says so; memory that several use is for record_stream. Fields:
-- device, device_index, stream_id, cuda_stream (the runtime's handle as an integer), priority.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.Stream.html
function Stream:init(...)
  local device, priority = stream_arguments(...)
  local index = device_index("Stream", device)
  if index == nil or index < 0 then index = call("Stream", "current_device") end
  local number, clamped = call("Stream", "stream_take", index, priority)
  set_stream(self, index, number, clamped)
end

--- The lowest and the highest priority: two numbers, the higher one is less.
function Stream.priority_range() return call("Stream.priority_range", "priority_range") end

--- Has all that was sent to the stream been done?
function Stream:query() return call("Stream.query", "stream_query", self.device_index, self.stream_id) end

--- Waits until all that was sent to the stream is done.
function Stream:synchronize() call("Stream.synchronize", "stream_synchronize", self.device_index, self.stream_id) end

--- What is sent to the stream from now on runs after the event. Does not wait.
function Stream:wait_event(event) check_event("Stream.wait_event", event):wait(self) end

--- What is sent to the stream from now on runs after all that `stream` was sent so far. Does not wait.
function Stream:wait_stream(stream) self:wait_event(check_stream("Stream.wait_stream", stream):record_event()) end

--- Records the event, or a new one, behind all that was sent to the stream; returns it.
function Stream:record_event(event)
  if event == nil then event = Event() end
  check_event("Stream.record_event", event):record(self)
  return event
end

rawset(Stream, "__eq", function(a, b)
  return binding.is(a, Stream) and binding.is(b, Stream) and a.device_index == b.device_index
    and a.stream_id == b.stream_id
end)
rawset(Stream, "__tostring", function(self)
  return ("<torch.cuda.Stream device=%s cuda_stream=0x%x>"):format(self.device, self.cuda_stream)
end)

local event_arguments = arguments.signature("Event", {
  { "enable_timing", "boolean", false }, { "blocking", "boolean", false }, { "interprocess", "boolean", false },
  { "external", "boolean", false },
})

--- Event{enable_timing = false, blocking = false}: a mark in a stream. With enable_timing it knows when it was passed;
-- with blocking, who waits for it sleeps. interprocess and external events do not exist here.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html
function Event:init(...)
  local timing, blocking, interprocess, external = event_arguments(...)
  if interprocess or external then
    core.raise("Event", "interprocess and external events are not supported: a process shares its events with its own "
      .. "streams only")
  end
  self.event = call("Event", "event_new", timing, blocking)
end

local function stream_or_current(name, stream)
  if stream ~= nil then return check_stream(name, stream) end
  return streams.current_stream()
end

--- Records the event in the stream, the current one unless told otherwise. Events belong to the device where they were
-- first recorded.
function Event:record(stream)
  stream = stream_or_current("Event.record", stream)
  call("Event.record", "event_record", self.event, stream.device_index, stream.stream_id)
end

--- What is sent to the stream (the current one) from now on runs after the event. Does not wait.
function Event:wait(stream)
  stream = stream_or_current("Event.wait", stream)
  call("Event.wait", "event_wait", self.event, stream.device_index, stream.stream_id)
end

--- Has the event been passed? true before it was recorded.
function Event:query() return call("Event.query", "event_query", self.event) end

--- Waits until the event has been passed.
function Event:synchronize() call("Event.synchronize", "event_synchronize", self.event) end

--- Milliseconds from this event to a later one; both were passed and have enable_timing.
function Event:elapsed_time(end_event)
  return call("Event.elapsed_time", "event_elapsed", self.event, check_event("Event.elapsed_time", end_event).event)
end

rawset(Event, "__index", function(self, key)
  if key == "cuda_event" then return call("Event", "event_handle", rawget(self, "event")) or 0 end
  if key == "device" then
    local _, index = call("Event", "event_handle", rawget(self, "event"))
    return index and core.device("cuda", index)
  end
  return Event[key]
end)
rawset(Event, "__tostring", function(self)
  local handle = self.cuda_event
  return handle == 0 and "<torch.cuda.Event uninitialized>" or ("<torch.cuda.Event 0x%x>"):format(handle)
end)

streams.Stream, streams.Event = Stream, Event

-- The current stream --------------------------------------------------------------------------------------------------

-- The number of a device that may be left out.
local function index_or_current(name, device)
  return device_index(name, device) or call(name, "current_device")
end

--- The stream that this thread's work on the device goes to, at first the default one.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.current_stream.html
function streams.current_stream(device)
  local index = index_or_current("current_stream", device)
  return stream_object(index, call("current_stream", "stream_current", index))
end

--- The device's default stream, which is no pool's.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.default_stream.html
function streams.default_stream(device)
  return stream_object(index_or_current("default_stream", device), 0)
end

--- The stream becomes the current one of its device, and that device the current one; nil changes nothing. The block
-- torch.cuda.stream changes both back.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.set_stream.html
function streams.set_stream(stream)
  if stream == nil then return end
  check_stream("set_stream", stream)
  call("set_stream", "set_device", stream.device_index)
  call("set_stream", "stream_set", stream.device_index, stream.stream_id)
end

local function stream_block(name, stream, f)
  if stream ~= nil then check_stream(name, stream) end
  local device, number
  return binding.block(name, f, function()
    if stream == nil then return end
    device = call(name, "current_device")
    number = call(name, "stream_current", stream.device_index)
    call(name, "set_device", stream.device_index)
    call(name, "stream_set", stream.device_index, stream.stream_id)
  end, function()
    if stream == nil then return end
    call(name, "stream_set", stream.device_index, number)
    call(name, "set_device", device)
  end)
end

--- stream(s, f): inside f, or until the to-be-closed variable goes, work goes to s, on the device of s; nil changes
-- nothing. https://docs.pytorch.org/docs/stable/generated/torch.cuda.stream.html
function streams.stream(stream, f) return stream_block("stream", stream, f) end

--- The same by its class's name. https://docs.pytorch.org/docs/stable/generated/torch.cuda.StreamContext.html
function streams.StreamContext(stream, f) return stream_block("StreamContext", stream, f) end

-- For Tensor.record_stream.
function streams._record(tensor, stream)
  check_stream("record_stream", stream)
  tensor:_record_stream(stream.device_index, stream.stream_id)
end

return streams
