#include "session/record_fields.h"

#include <cstring>

namespace doorman::session {

namespace {

enum : std::uint16_t {
  TagName = 1,
  TagValue = 2,
  TagId = 3,
  TagBody = 4,
  TagStatement = 5,
  TagSerial = 6,
  TagSettings = 7,
  TagPrivate = 8,
  TagNotKept = 9,
  TagUse = 10,
  TagUseName = 11,
};

}  // namespace

std::string save_parameters(const std::vector<Parameter>& parameters) {
  RecordWriter out;
  for (const Parameter& each : parameters) {
    out.text(TagName, each.name);
    out.text(TagValue, each.value);
  }
  return out.take();
}

Result<std::vector<Parameter>> load_parameters(std::string_view record) {
  std::vector<Parameter> all;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagName) all.push_back({.name = std::string(field->value), .value = {}});
    if (field->tag == TagValue && !all.empty()) all.back().value = field->value;
  }
  return all;
}

Result<Parameters> load_set(ParameterSets& sets, std::string_view record) {
  if (Parameters known = sets.of_record(record)) return known;
  ParameterSet set;
  for (const Parameter& each : TRY(load_parameters(record))) set.set(each.name, each.value);
  Parameters read = sets.intern(set);
  sets.note_record(record, read);
  return read;
}

std::string save_statement(const Statement& statement) {
  RecordWriter out;
  out.number(TagId, statement.id);
  out.text(TagBody, statement.body);
  out.text(TagSettings, statement.settings);
  if (!statement.shared) out.number(TagPrivate, 1);
  if (!statement.kept) out.number(TagNotKept, 1);
  for (const SqlName& each : statement.names) {
    out.number(TagUse, static_cast<std::uint64_t>(each.use));
    out.text(TagUseName, each.name);
  }
  return out.take();
}

Result<StatementRef> load_statement(StatementRegistry& registry, std::string_view record) {
  Statement saved;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagId: saved.id = field->number(); break;
      case TagBody: saved.body = field->value; break;
      case TagSettings: saved.settings = field->value; break;
      case TagPrivate: saved.shared = field->number() == 0; break;
      case TagNotKept: saved.kept = field->number() == 0; break;
      case TagUse:
        if (field->number() > static_cast<std::uint64_t>(SqlUse::Setting)) {
          return Error{ErrorCode::Protocol, "a statement uses a name in no way that can be"};
        }
        saved.names.push_back({.use = static_cast<SqlUse>(field->number()), .name = {}});
        break;
      case TagUseName:
        if (!saved.names.empty()) saved.names.back().name = field->value;
        break;
      default: break;  // a later release knows it
    }
  }
  // Without its text where that is a record of its own.
  StatementRef statement =
      saved.body.empty() ? registry.find(saved.id) : registry.restore(std::move(saved));
  if (!statement) return Error{ErrorCode::Protocol, "a statement has the number of another one"};
  return statement;
}

std::string save_statement_number(const Statement& statement) {
  RecordWriter out;
  out.number(TagId, statement.id);
  return out.take();
}

std::string save_name(const ClientStatement& statement) {
  RecordWriter out;
  out.number(TagSerial, statement.serial);
  out.text(TagName, statement.name);
  out.text(TagStatement, save_statement_number(*statement.statement));
  return out.take();
}

Result<std::string> without_text(std::string_view client_statement) {
  RecordWriter out;
  RecordReader reader(client_statement);
  while (auto field = TRY(reader.next())) {
    if (field->tag != TagStatement) {
      out.text(field->tag, field->value);
      continue;
    }
    RecordWriter number;
    RecordReader statement(field->value);
    while (auto inner = TRY(statement.next())) {
      if (inner->tag == TagId) number.text(TagId, inner->value);
    }
    out.text(TagStatement, number.record());
  }
  return out.take();
}

std::uint64_t serial_of(std::string_view client_statement) {
  RecordReader reader(client_statement);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    if ((*field)->tag == TagSerial) return (*field)->number();
  }
  return 0;
}

std::string save_client_statement(const ClientStatement& statement) {
  RecordWriter out;
  out.number(TagSerial, statement.serial);
  out.text(TagName, statement.name);
  if (statement.statement) out.text(TagStatement, save_statement(*statement.statement));
  return out.take();
}

Result<ClientStatementRef> load_client_statement(StatementRegistry& registry,
                                                 std::string_view record) {
  auto loaded = std::make_shared<ClientStatement>();
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagSerial) loaded->serial = field->number();
    if (field->tag == TagName) loaded->name = field->value;
    if (field->tag == TagStatement) loaded->statement = TRY(load_statement(registry, field->value));
  }
  return ClientStatementRef(std::move(loaded));
}

std::string save_framer(const wire::Framer& framer) {
  std::string out(1, framer.type());
  append_u64(out, framer.remaining());
  return out;
}

wire::Framer load_framer(std::string_view record) {
  if (record.size() != 9) return {};
  return {record[0], read_u64(bytes_of(record).data() + 1)};
}

std::string save_address(const net::Address& address) {
  return {reinterpret_cast<const char*>(address.get()), address.length()};
}

net::Address load_address(std::string_view record) {
  sockaddr_storage storage{};
  const std::size_t size = std::min(record.size(), sizeof storage);
  std::memcpy(&storage, record.data(), size);
  return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage),
                                     static_cast<socklen_t>(size));
}

}  // namespace doorman::session
