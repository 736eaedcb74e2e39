// What is true of a client whatever it does: its record as of an idle one, with what has changed
// since it was written.
#include <algorithm>

#include "session/client.h"
#include "session/client_listening.h"
#include "session/client_tags.h"
#include "session/record_fields.h"
#include "session/records.h"

namespace doorman::session {

namespace {

struct Channelled {
  std::string encoding;
  Channels channels;
};

Result<> add_channels(Channelled& to, std::string_view record) {
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagEncoding) to.encoding = field->value;
    if (field->tag == TagChannel) to.channels.emplace(field->value);
  }
  return {};
}

Result<> remove_channels(Channelled& from, std::string_view record) {
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagChannel) from.channels.erase(std::string(field->value));
  }
  return {};
}

}  // namespace

std::string SessionRecords::save_channels(std::string_view encoding, const Channels& channels) {
  RecordWriter out;
  out.text(TagEncoding, encoding);
  for (const std::string& each : channels) out.text(TagChannel, each);
  return out.take();
}

bool SessionRecords::listens(std::string_view record) {
  RecordReader reader(record);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    if ((*field)->tag == TagChannel) return true;
  }
  return false;
}

// Where it stood, and what it waited for, is left out. What it listens to is kept, without what has
// been queued for it: there is a gap in any case.
Result<std::string> SessionRecords::idle(std::string_view record,
                                         const std::vector<ClientChange>& changes) {
  RecordWriter out;
  std::string_view parameters;
  std::vector<std::string> statements;
  Channelled listening;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagState:
      case TagFramer:
      case TagDiscarding:
      case TagSkippingToSync:
      case TagInbox:
      case TagUnsent:
      case TagStateSince:
      case TagRequestAt:
      case TagTransactionAt:
      case TagQueryAt:
      case TagWaitingSince:
      case TagToldOfWaiting:
      case TagQueued:
      case TagTransaction:
      case TagOfUnnamed:
      case TagOfPortal:
      case TagUnnamed:
      case TagPortal:
      case TagSaid:
      case TagSaidWhole: break;
      case TagParameters: parameters = field->value; break;
      case TagStatement: statements.push_back(TRY(without_text(field->value))); break;
      case TagEncoding: listening.encoding = field->value; break;
      case TagChannel: listening.channels.emplace(field->value); break;
      default: out.text(field->tag, field->value); break;
    }
  }
  for (const ClientChange& change : changes) {
    switch (change.what) {
      case ClientChange::What::StatementAdded: statements.push_back(change.record); break;
      case ClientChange::What::StatementRemoved:
        std::erase_if(statements, [&](const std::string& each) {
          return serial_of(each) == serial_of(change.record);
        });
        break;
      case ClientChange::What::StatementsCleared: statements.clear(); break;
      case ClientChange::What::ParametersChanged: parameters = change.record; break;
      case ClientChange::What::ChannelsAdded: TRY(add_channels(listening, change.record)); break;
      case ClientChange::What::ChannelsRemoved:
        TRY(remove_channels(listening, change.record));
        break;
    }
  }
  out.number(TagState, static_cast<std::uint64_t>(ClientState::Idle));
  out.number(TagStateSince, to_number(clock_now()));
  out.text(TagParameters, parameters);
  for (const std::string& each : statements) out.text(TagStatement, each);
  if (!listening.channels.empty() && record_format.version >= 2) {
    out.text(TagEncoding, listening.encoding);
    for (const std::string& each : listening.channels) out.text(TagChannel, each);
  }
  return out.take();
}

}  // namespace doorman::session
