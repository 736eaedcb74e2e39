// SHOW STATS and its kin: the same counters under PgBouncer's different names.
#include "control/commands.h"
#include "control/show.h"

namespace doorman::control {
namespace {

std::vector<wire::Column> counter_columns(std::string_view Counter::*name, std::string_view before,
                                          std::vector<wire::Column> columns = {}) {
  for (const Counter& counter : counter_table()) {
    columns.push_back({.name = std::string(before) + std::string(counter.*name),
                       .type = static_cast<std::uint32_t>(Type::Numeric)});
  }
  return columns;
}

}  // namespace

Outcome show_stats(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "database"}})};
  table.columns = counter_columns(&Counter::total_name, "total_", std::move(table.columns));
  table.columns = counter_columns(&Counter::average_name, "avg_", std::move(table.columns));
  for (const auto& [database, counters] : commands.totals()) {
    Row line = row(database);
    for (const Counter& counter : counter_table()) line.push_back(cell(counters.*counter.value));
    for (const Counter& counter : counter_table()) {
      line.push_back(cell(commands.history().average_of(counter, database)));
    }
    table.rows.push_back(std::move(line));
  }
  return shown(std::move(table));
}

Outcome show_stats_totals(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {
      .columns = counter_columns(&Counter::plain_total, "", columns({{Type::Text, "database"}}))};
  for (const auto& [database, counters] : commands.totals()) {
    Row line = row(database);
    for (const Counter& counter : counter_table()) line.push_back(cell(counters.*counter.value));
    table.rows.push_back(std::move(line));
  }
  return shown(std::move(table));
}

Outcome show_stats_averages(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {
      .columns = counter_columns(&Counter::plain_average, "", columns({{Type::Text, "database"}}))};
  for (const auto& [database, counters] : commands.totals()) {
    Row line = row(database);
    for (const Counter& counter : counter_table()) {
      line.push_back(cell(commands.history().average_of(counter, database)));
    }
    table.rows.push_back(std::move(line));
  }
  return shown(std::move(table));
}

Outcome show_totals(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "name"}, {Type::Numeric, "value"}})};
  const Counters all = sum(commands.totals());
  for (const Counter& counter : counter_table()) {
    table.rows.push_back(row("total_" + std::string(counter.summed_name), all.*counter.value));
  }
  for (const Counter& counter : counter_table()) {
    table.rows.push_back(
        row("avg_" + std::string(counter.summed_name), commands.history().average_of_all(counter)));
  }
  return shown(std::move(table));
}

}  // namespace doorman::control
