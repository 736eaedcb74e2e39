// What a client listens to, as a part of its record, and back.
//
// Within the process a client keeps its place in its hub. In another process it gets a new one, and
// is told of the gap.
#include "session/client.h"
#include "session/client_listening.h"
#include "session/client_tags.h"
#include "session/records.h"

namespace doorman::session {

namespace {

Result<ListenStepsRef> load_shared_steps(std::string_view record) {
  return ListenStepsRef(std::make_shared<const ListenSteps>(TRY(load_steps(record))));
}

}  // namespace

void SessionRecords::save_listening(const ClientSession& client, RecordWriter& out) {
  if (!client.listening_) return;
  const ClientListening& listening = *client.listening_;
  out.text(TagEncoding, listening.hub().encoding);
  for (const std::string& each : listening.channels) out.text(TagChannel, each);
  for (const NotificationRef& each : listening.hub().queued(*listening.subscriber)) {
    out.text(TagQueued, each ? std::string_view(*each) : std::string_view());
  }
  out.text(TagTransaction, listening.transaction.save());
  if (listening.of_unnamed) out.text(TagOfUnnamed, save_steps(*listening.of_unnamed));
  if (listening.of_portal) out.text(TagOfPortal, save_steps(*listening.of_portal));
}

Result<> SessionRecords::load_listening(ClientSession& client, Image& image) {
  if (image.listening) {
    client.listening_ = std::move(image.listening);
    client.listening_->hub().moved(*client.listening_->subscriber, client.host_);
    return {};
  }
  Channels channels;
  std::vector<NotificationRef> queued;
  RecordReader reader(image.client);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagChannel) channels.emplace(field->value);
    if (field->tag == TagQueued) {
      queued.push_back(field->value.empty() ? nullptr
                                            : std::make_shared<const std::string>(field->value));
    }
  }
  if (channels.empty()) return {};
  std::string_view encoding;
  ListenTransaction transaction;
  ListenStepsRef of_unnamed;
  ListenStepsRef of_portal;
  reader = RecordReader(image.client);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagEncoding) encoding = field->value;
    if (field->tag == TagTransaction) TRY(transaction.load(field->value));
    if (field->tag == TagOfUnnamed) of_unnamed = TRY(load_shared_steps(field->value));
    if (field->tag == TagOfPortal) of_portal = TRY(load_shared_steps(field->value));
  }
  ClientListening& listening = client.begin_listening(encoding);
  listening.transaction = std::move(transaction);
  listening.of_unnamed = std::move(of_unnamed);
  listening.of_portal = std::move(of_portal);
  listening.channels = channels;
  for (const NotificationRef& each : queued) listening.hub().queue(*listening.subscriber, each);
  listening.hub().rejoin(*listening.subscriber, channels);
  return {};
}

}  // namespace doorman::session
