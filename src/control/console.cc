#include "control/console.h"

#include "wire/error_response.h"
#include "wire/message_writer.h"

namespace doorman::control {
namespace {

std::string body_of(const Answer& answer) {
  if (answer.tag.empty()) return wire::empty_message('I');  // EmptyQueryResponse
  std::string out;
  if (!answer.notice.empty()) {
    out += wire::error_response(wire::Severity::Notice, "00000", answer.notice);
  }
  if (answer.table) {
    out += wire::row_description(answer.table->columns);
    for (const Row& each : answer.table->rows) out += wire::data_row(each);
  }
  return out + wire::command_complete(answer.tag);
}

std::string body_of(const Refusal& refusal) {
  return wire::error_response(wire::Severity::Error, refusal.sqlstate, refusal.message,
                              refusal.hint);
}

}  // namespace

std::string messages_of(const Reply& reply) {
  const std::string body = std::visit([](const auto& each) { return body_of(each); }, reply);
  return body + wire::ready_for_query('I');
}

void Console::query(session::Host& host, std::string_view user, std::string sql,
                    std::function<void(std::string)> reply) {
  daemon_.post([this, &host, user = std::string(user), sql = std::move(sql),
                reply = std::move(reply)] {
    commands_.run(user, sql, [&host, reply](const Reply& answer) {
      host.post([reply, messages = messages_of(answer)]() mutable { reply(std::move(messages)); });
    });
  });
}

}  // namespace doorman::control
