#include "control/table.h"

namespace doorman::control {

std::vector<wire::Column> columns(std::initializer_list<Columns> runs) {
  std::vector<wire::Column> all;
  for (const Columns& run : runs) {
    std::string_view rest = run.names;
    while (!rest.empty()) {
      const std::size_t end = rest.find(' ');
      const std::string_view name = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (name.empty()) continue;
      all.push_back({.name = std::string(name), .type = static_cast<std::uint32_t>(run.type)});
    }
  }
  return all;
}

}  // namespace doorman::control
