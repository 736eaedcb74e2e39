#include "session/host.h"

#include "session/client.h"
#include "session/server.h"

namespace doorman::session {

namespace {

template <class Session>
void take_up_all(std::vector<Arrival<Session>>& arrivals) {
  for (const Arrival<Session>& each : arrivals) {
    if (each.session != nullptr) each.session->take_up(each.input);
  }
  arrivals.clear();
}

}  // namespace

void Host::take_up() {
  take_up_all(from_servers);
  take_up_all(from_clients);
  scratch_used_ = 0;
}

}  // namespace doorman::session
