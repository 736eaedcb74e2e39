#include "config/reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ini.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <system_error>

#include "base/check.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "config/value.h"

namespace doorman::config {
namespace {

constexpr std::size_t kMaxFile = std::size_t{16} << 20;
constexpr std::size_t kMaxTotal = std::size_t{64} << 20;  // with all includes
constexpr std::size_t kMaxLine = std::size_t{1} << 20;
constexpr std::size_t kMaxDepth = 10;        // of includes in each other
constexpr std::size_t kMaxIncludes = 500;    // in all: a file may include another many times
constexpr std::size_t kMaxSectionName = 40;  // inih keeps 49 bytes

constexpr std::string_view kInclude = "%include";

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

// What a name can consist of without quotes.
bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.*-").find(c) != std::string_view::npos;
}

Error system_error(int number) {
  return Error{ErrorCode::System, std::generic_category().message(number)};
}

// Only of regular files: whoever names a terminal or a pipe would wait for it for ever.
Result<std::string> contents(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return system_error(errno);
  struct stat about = {};
  if (::fstat(fd.get(), &about) != 0) return system_error(errno);
  if (!S_ISREG(about.st_mode)) return Error{ErrorCode::System, "not a regular file"};

  std::string text;
  char piece[16384];
  while (true) {
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno);
    if (n == 0) return text;
    text.append(piece, static_cast<std::size_t>(n));
    if (text.size() > kMaxFile) return Error{ErrorCode::System, "larger than 16 MB"};
  }
}

// A file that is being read, and how far.
struct Source {
  std::string name;
  std::string text;
  std::size_t taken = 0;
  int line = 0;

  bool at_end() const { return taken == text.size(); }

  std::string_view next() {
    const std::size_t end = std::min(text.find('\n', taken), text.size());
    const std::string_view found = std::string_view(text).substr(taken, end - taken);
    taken = std::min(end + 1, text.size());
    ++line;
    return found;
  }

  std::string place() const { return name + ":" + std::to_string(line); }
};

class Reader {
 public:
  Lines read(std::string name, std::string text) {
    open(std::move(name), std::move(text));
    const int wrong = ini_parse_stream(give_line, this, take_item, this);
    // Every line it was given is one it must understand, and every item must have come back.
    CHECK(wrong == 0 && understood_ == lines_.items.size());
    return std::move(lines_);
  }

 private:
  static char* give_line(char* line, int size, void* reader) noexcept;
  static int take_item(void* reader, const char* section, const char*, const char* value) noexcept;

  void open(std::string name, std::string text);
  void read_line();
  void understand(std::string_view line);
  void header(std::string_view line);
  void assignment(std::string_view line);
  void include(std::string_view path);
  void add(Item item);
  void problem(std::string_view what) {
    lines_.problems.push_back(sources_.back().place() + ": " + std::string(what));
  }

  Lines lines_;
  std::vector<Source> sources_;       // each included by the one before it
  std::deque<std::string> for_inih_;  // lines to give to it next
  std::size_t includes_ = 0;
  std::size_t total_ = 0;  // bytes of all includes
  std::size_t understood_ = 0;
};

char* Reader::give_line(char* line, int size, void* reader) noexcept {
  auto& self = *static_cast<Reader*>(reader);
  while (self.for_inih_.empty()) {
    while (!self.sources_.empty() && self.sources_.back().at_end()) self.sources_.pop_back();
    if (self.sources_.empty()) return nullptr;
    self.read_line();
  }
  const std::string& next = self.for_inih_.front();
  CHECK(next.size() < static_cast<std::size_t>(size));
  std::memcpy(line, next.c_str(), next.size() + 1);
  self.for_inih_.pop_front();
  return line;
}

int Reader::take_item(void* reader, const char* section, const char*, const char* value) noexcept {
  auto& self = *static_cast<Reader*>(reader);
  std::size_t index = 0;
  std::from_chars(value, value + std::strlen(value), index);
  CHECK(index < self.lines_.items.size());
  self.lines_.items[index].section = section;
  ++self.understood_;
  return 1;
}

void Reader::open(std::string name, std::string text) {
  Source source = {.name = std::move(name), .text = std::move(text)};
  if (source.text.starts_with("\xef\xbb\xbf")) source.taken = 3;  // a byte order mark
  sources_.push_back(std::move(source));
}

void Reader::read_line() {
  const std::string_view raw = sources_.back().next();
  if (raw.size() > kMaxLine) return problem("longer than 1 MB");
  const std::string_view line = trim(raw);
  if (line.empty() || line.front() == ';' || line.front() == '#') return;
  if (line.find('\0') != std::string_view::npos) return problem("a zero byte");
  understand(line);
}

void Reader::understand(std::string_view line) {
  if (line.front() == '[') return header(line);
  if (line.starts_with(kInclude)) {
    const std::string_view rest = line.substr(kInclude.size());
    if (const std::string_view path = trim(rest); !path.empty() && path.data() != rest.data()) {
      return include(path);
    }
  }
  if (line.front() == '%') return problem("expected %include FILE");
  assignment(line);
}

void Reader::header(std::string_view line) {
  const std::size_t end = line.find(']');
  if (end == std::string_view::npos) return problem("a section without its closing ]");
  if (end + 1 != line.size()) return problem("text behind the ] of a section");
  const std::string_view name = line.substr(1, end - 1);
  // inih need not know how an unknown section is called.
  const bool harmless = !name.empty() && name.size() <= kMaxSectionName &&
                        std::all_of(name.begin(), name.end(), is_lower);
  for_inih_.push_back(fmt::format("[{}]\n", harmless ? name : "?"));
  add({.place = sources_.back().place(), .section = {}, .header = true, .name = std::string(name)});
}

void Reader::assignment(std::string_view line) {
  Item item = {.place = sources_.back().place(), .section = {}, .header = false, .name = {}};
  std::size_t i = 0;
  if (line.front() == '\'') {
    for (i = 1; i < line.size(); ++i) {
      if (line[i] == '\'' && line.substr(i, 2) != "''") break;
      if (line[i] == '\'') ++i;
      item.name += line[i];
    }
    if (i == line.size()) return problem("a quoted name without its closing quote");
    ++i;
  } else {
    while (i < line.size() && is_plain(line[i])) item.name += line[i++];
  }
  const std::string_view rest = trim(line.substr(i));
  if (item.name.empty()) return problem("expected a section, or a name, = and a value");
  if (!rest.starts_with('=')) {
    return problem(fmt::format("expected = after \"{}\"{}", item.name,
                               rest.empty() ? "" : " (other names need single quotes)"));
  }
  item.value = trim(rest.substr(1));
  add(std::move(item));
}

void Reader::add(Item item) {
  for_inih_.push_back(fmt::format("item={}\n", lines_.items.size()));
  lines_.items.push_back(std::move(item));
}

void Reader::include(std::string_view named) {
  if (sources_.size() > kMaxDepth) {
    return problem(fmt::format("includes are nested deeper than {}", kMaxDepth));
  }
  if (++includes_ > kMaxIncludes) {
    return problem(fmt::format("more than {} includes", kMaxIncludes));
  }
  std::string path(named);
  auto text = contents(path);
  if (!text && path.front() != '/') {
    // PgBouncer looks in the working directory only, which is seldom what a service has in mind.
    const std::string& includer = sources_.back().name;
    const std::size_t slash = includer.rfind('/');
    if (slash != std::string::npos) {
      std::string beside = includer.substr(0, slash + 1) + path;
      if (auto second = contents(beside); second) {
        text = second.take();
        path = std::move(beside);
      }
    }
  }
  if (!text) return problem(fmt::format("%include {}: {}", named, text.error().message));
  total_ += text->size();
  if (total_ > kMaxTotal) return problem("more than 64 MB with all includes");
  open(std::move(path), text.take());
}

}  // namespace

Lines read_file(const std::string& path) {
  auto text = contents(path);
  if (!text) return {.items = {}, .problems = {path + ": " + text.error().message}};
  return Reader().read(path, text.take());
}

Lines read_text(std::string_view text, std::string_view name) {
  return Reader().read(std::string(name), std::string(text));
}

}  // namespace doorman::config
