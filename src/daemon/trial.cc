#include "daemon/trial.h"

#include <algorithm>

namespace doorman::daemon {

using handoff::Stash;
using handoff::StashReader;

Result<std::unique_ptr<Trial>> Trial::begin(const std::vector<Worker*>& workers) {
  std::unique_ptr<Trial> trial(new Trial);
  trial->stash_ = TRY(Stash::create(trial->store_));
  trial->statements_ = std::make_unique<handoff::KeptStatements>(trial->stash_->journal());
  for (Worker* worker : workers) {
    trial->live_.push_back(
        std::make_unique<handoff::LiveStash>(*trial->stash_, *trial->statements_, *worker));
    worker->slots.use(&trial->stash_->journal());
    worker->live = trial->live_.back().get();
  }
  return trial;
}

Trial::~Trial() {
  if (stash_) stash_->discard();
}

namespace {

// While slots of the trial are given back: nobody may get them again.
class NoSlots final : public session::SlotSource {
 public:
  void lend_slots(std::vector<session::HotSlot*>& /*free*/) override {}
  bool owns(const session::HotSlot& /*slot*/) const override { return false; }
};

}  // namespace

void Trial::let_go(Worker& worker) {
  if (worker.live != live_[static_cast<std::size_t>(worker.worker)].get()) return;
  NoSlots none;
  worker.slots.use(&none);
  worker.live = nullptr;
  worker.each_client([](session::ClientSession& client) { client.renew_slot(); });
  worker.each_server([](session::ServerSession& server) { server.renew_slot(); });
  worker.slots.use(nullptr);
}

Result<handoff::Recovered> take_back(std::vector<handoff::PassedFd> trial, std::vector<Copy> copies,
                                     session::Shared& shared, const std::vector<Worker*>& workers) {
  handoff::NoFdStore store;
  const std::unique_ptr<Stash> stash = TRY(Stash::open(std::move(trial), store));
  StashReader reader(*stash);
  TRY(reader.read());
  for (Copy& each : copies) reader.offer(each.client, std::move(each.fd));
  shared.next_id = std::max(shared.next_id.load(), reader.first_free_id());
  handoff::KeptStatements statements(stash->journal());
  const std::vector<session::Host*> hosts(workers.begin(), workers.end());
  const handoff::Recovered recovered =
      handoff::recover(reader, statements, hosts, handoff::Copies::None);
  stash->discard();
  return recovered;
}

}  // namespace doorman::daemon
