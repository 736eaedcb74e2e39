// What a client says in SQL about its statements: the server gets their names just before.
#include <algorithm>

#include "session/client.h"
#include "session/client_listening.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

// What SQL will look for by its name, the server has by that name; what SQL must not find, it has
// not. Only the first use of each counts: later ones come after what the SQL itself does.
void ClientSession::give_own_names(const std::vector<SqlName>& names) {
  for (auto each = names.begin(); each != names.end(); ++each) {
    if (each->use == SqlUse::DeallocateAll) {
      server_->doubt_encoding();  // DISCARD ALL
      return;
    }
    if (each->use == SqlUse::Setting) {
      server_->doubt_settings(each->name);
      continue;
    }
    const bool again = std::any_of(names.begin(), each, [&](const SqlName& before) {
      return before.use != SqlUse::Setting && before.name == each->name;
    });
    if (again) continue;
    if (const ClientStatementRef found = statements().find(each->name)) {
      const bool runs = each->use == SqlUse::Execute;
      server_->put_own_name(each->name, runs ? found->statement : nullptr);
    } else {
      server_->hide_name(each->name);
    }
  }
}

namespace {

// What the execution of a statement makes of client_encoding, as far as its text says it.
std::optional<std::string> encoding_changed_by(const Statement& statement) {
  const bool sets =
      std::any_of(statement.names.begin(), statement.names.end(), [](const SqlName& each) {
        return each.use == SqlUse::Setting &&
               (each.name == "client_encoding" || each.name == "all");
      });
  if (!sets) return std::nullopt;
  return encoding_set_by(std::string_view(statement.body).substr(0, statement.body.find('\0')), {});
}

// Those that are more than a change of settings.
std::vector<SqlName> without_settings(std::vector<SqlName> names) {
  std::erase_if(names, [](const SqlName& each) { return each.use == SqlUse::Setting; });
  return names;
}

}  // namespace

bool ClientSession::relay_query(const wire::Header& header, Bytes& input) {
  if (host_->settings().disable_pqexec) {
    fail(wire::sqlstate::kFeatureNotSupported, "simple queries are switched off (disable_pqexec)");
    return false;
  }
  const bool shares = shares_statements();
  const bool whole = input.size() >= header.total();
  std::string_view sql =
      text_of(input.first(std::min(input.size(), header.total())).subspan(wire::kHeaderSize));
  const bool good = shares && (!whole || (!sql.empty() && sql.find('\0') == sql.size() - 1));
  if (whole && !sql.empty()) sql.remove_suffix(1);  // its zero byte
  const bool concerns_names = shares && may_concern_names(sql);
  // PostgreSQL drops the unnamed statement, whatever becomes of the query; but not for a message
  // that is none. Where an error may yet give one back, this query ends that one, too.
  const bool ends_unnamed =
      good && statements_ && (statements_->unnamed() || server_->unnamed_is_changing());
  const bool ends_servers =
      good && server_->statements().unnamed() != ServerStatements::Unnamed::None;
  if (!concerns_names && !ends_unnamed && !ends_servers && !listening_) {
    query_begins();
    server_->expect_for_client(Awaits::Query);
    forward(header, input);
    return true;
  }
  Reply reply = {.awaits = Awaits::Query, .deliver = Deliver::Forward};
  if (listening_) reply.listens = steps_of_query(header, input);
  if (concerns_names) {
    if (!settled(Stall::Names)) return false;
    std::vector<SqlName> names = names_in(sql, dialect());
    give_own_names(names);
    names = without_settings(std::move(names));
    reply.sql = !names.empty();
    if (reply.sql) server_->expect_sql(std::move(names));
  }
  if (ends_unnamed) {
    reply.unnamed = true;
    reply.before = statements_->exchange_unnamed(nullptr);
  }
  if (ends_servers) {
    server_->note_unnamed(reply, nullptr);
    if (!whole) server_->statements().set_unnamed(ServerStatements::Unnamed::Unknown);
  }
  query_begins();
  server_->expect(std::move(reply));
  forward(header, input);
  return true;
}

// An Execute that may be of SQL about names, or of a client that listens.
bool ClientSession::relay_execute(const wire::Header& header, Bytes& input) {
  Reply reply = {.awaits = Awaits::Execute, .deliver = Deliver::Forward};
  if (listening_) reply.listens = listening_->of_portal;
  if (statements_ && statements_->has_portals()) {
    if (input.size() < header.total()) return false;  // at most 10,000 bytes
    wire::MessageReader reader(input.first(header.total()).subspan(wire::kHeaderSize));
    if (const Statement* statement = statements_->portal(reader.text())) {
      if (!settled(Stall::Names)) return false;
      give_own_names(statement->names);
      if (const auto encoding = encoding_changed_by(*statement)) {
        server_->set_batch_encoding(*encoding);
      }
      std::vector<SqlName> names = without_settings(statement->names);
      reply.sql = !names.empty();
      if (reply.sql) server_->expect_sql(std::move(names));
    }
  }
  const bool sql = reply.sql;
  server_->expect(std::move(reply));
  forward(header, input);
  if (sql) host_->to_server.add_copy(wire::empty_message('H'));  // nothing goes on before it ends
  return true;
}

}  // namespace doorman::session
