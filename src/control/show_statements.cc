// SHOW STATEMENTS: what pools have prepared, and how often that has helped.
#include <map>
#include <string>
#include <utility>

#include "control/commands.h"
#include "control/show.h"

namespace doorman::control {
namespace {

struct Line {
  session::Counters counters;
  const pool::HeldTexts* texts = nullptr;
};

}  // namespace

Outcome show_statements(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns =
                     columns({{Type::Text, "database user"},
                              {Type::Int8, "texts bytes hits misses evictions parses_saved"}})};
  std::map<std::pair<std::string, std::string>, Line> lines;
  commands.daemon().visit_workers([&lines](daemon::Worker& worker) {
    worker.each_pool([&lines](session::PoolPart& part) {
      Line& line = lines[std::pair(part.database(), part.user())];
      line.counters.add(part.counters);
      line.texts = &part.pool.shared().texts;
    });
  });
  for (const auto& [name, line] : lines) {
    const session::Counters& counted = line.counters;
    table.rows.push_back(row(name.first, name.second, line.texts->count(), line.texts->bytes(),
                             counted.statement_hits, counted.statement_misses,
                             counted.statement_evictions, counted.parses_saved));
  }
  return shown(std::move(table));
}

}  // namespace doorman::control
