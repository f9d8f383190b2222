-- The busted command under the interpreter that runs this file, whatever /usr/bin/busted starts.
require "busted.runner"({ standalone = false })
