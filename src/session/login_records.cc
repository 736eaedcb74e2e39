// A login that has proven who it is but has not been told so: another process can go on with it.
#include "session/client.h"
#include "session/login.h"
#include "session/record_fields.h"
#include "session/records.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t {
  TagUser = 1,
  TagDatabase = 2,
  TagMinor = 3,
  TagWanted = 4,
  TagHostAdded = 5,
};

}  // namespace

bool SessionRecords::is_proven(const Login& login) { return login.proven_; }

std::string SessionRecords::save_login(const Login& login) {
  RecordWriter out;
  out.text(TagUser, login.user_);
  out.text(TagDatabase, login.database_);
  out.number(TagMinor, login.minor_);
  out.text(TagWanted, save_parameters(login.wanted_));
  out.number(TagHostAdded, login.host_added_ ? 1 : 0);
  return out.take();
}

Result<> SessionRecords::load_login(ClientSession& client, std::string_view record) {
  Login& login = client.begin_login();
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagUser: login.user_ = field->value; break;
      case TagDatabase: login.database_ = field->value; break;
      case TagMinor: login.minor_ = static_cast<std::uint16_t>(field->number()); break;
      case TagWanted: login.wanted_ = TRY(load_parameters(field->value)); break;
      case TagHostAdded: login.host_added_ = field->number() != 0; break;
      default: break;  // a later release knows it
    }
  }
  Host& host = *client.host_;
  login.proven_ = true;
  login.working_ = true;  // until resume_login()
  if (host.local == nullptr || !host.local->serves(login.database_)) {
    client.set_charge(pool::Charge(host.shared.registry.clients, 0));
  }
  return {};
}

}  // namespace doorman::session
