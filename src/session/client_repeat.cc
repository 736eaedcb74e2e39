// A batch that failed because the tables of a shared statement have changed is said again, so that
// sharing is not seen. Kept are short batches of unnamed statements, outside of transactions: they
// have had no effect, and what they have been answered so far would be answered again.
#include "session/client.h"
#include "session/server.h"

namespace doorman::session {

namespace {

constexpr std::size_t kLongestBatch = std::size_t{16} * 1024;

}  // namespace

// `begins`: no transaction was open, and nothing owed, before the message.
void ClientSession::note_said(const wire::Header& header, Bytes message, bool begins) {
  if (!last_batch_) last_batch_ = std::make_unique<LastBatch>();
  LastBatch& batch = *last_batch_;
  if (batch.ended) {
    batch.said.clear();
    batch.repeatable = begins;
    batch.ended = false;
  }
  static constexpr std::string_view kRepeatable = "PBDES";
  const bool named_parse = header.type == 'P' && message.size() > wire::kHeaderSize &&
                           message[wire::kHeaderSize] != std::byte{0};
  batch.ended = header.type == 'S' || header.type == 'Q';
  if (named_parse || kRepeatable.find(header.type) == std::string_view::npos ||
      message.size() < header.total() || batch.said.size() + message.size() > kLongestBatch) {
    batch.repeatable = false;
  }
  if (batch.repeatable) batch.said.append(text_of(message));
}

bool ClientSession::can_repeat() const {
  return last_batch_ && last_batch_->ended && last_batch_->repeatable && between_messages();
}

void ClientSession::repeat_batch() {
  last_batch_->repeatable = false;
  const std::string said = std::move(last_batch_->said);
  Bytes input = bytes_of(said);
  while (!input.empty() && state_ == ClientState::Active) {
    wire::Header header{};
    CHECK(wire::peek(input, header) == wire::Cut::Ready);
    if (!relay_message(header, input)) break;
  }
  if (server_ != nullptr) server_->write_gathered();
  host_->to_server.reset();
}

}  // namespace doorman::session
