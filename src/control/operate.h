// The commands that do something. On the main thread.
#pragma once

#include "control/command.h"

namespace doorman::control {

Outcome set(Commands& commands, const Arguments& arguments);
Outcome reload(Commands& commands, const Arguments& arguments);
Outcome upgrade(Commands& commands, const Arguments& arguments);
Outcome shutdown(Commands& commands, const Arguments& arguments);

Outcome pause(Commands& commands, const Arguments& arguments);
Outcome resume(Commands& commands, const Arguments& arguments);
Outcome disable(Commands& commands, const Arguments& arguments);
Outcome enable(Commands& commands, const Arguments& arguments);
Outcome reconnect(Commands& commands, const Arguments& arguments);
Outcome wait_close(Commands& commands, const Arguments& arguments);
Outcome kill(Commands& commands, const Arguments& arguments);
Outcome kill_client(Commands& commands, const Arguments& arguments);

}  // namespace doorman::control
