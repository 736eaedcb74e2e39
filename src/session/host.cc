#include "session/host.h"

#include "session/client.h"
#include "session/server.h"

namespace doorman::session {

void Host::take_up() {
  for (std::size_t i = 0; i < from_servers.size(); ++i) {
    if (from_servers[i].session != nullptr) from_servers[i].session->take_up(from_servers[i].input);
  }
  from_servers.clear();
  for (std::size_t i = 0; i < from_clients.size(); ++i) {
    if (from_clients[i].session != nullptr) from_clients[i].session->take_up(from_clients[i].input);
  }
  from_clients.clear();
  scratch_used_ = 0;
}

}  // namespace doorman::session
