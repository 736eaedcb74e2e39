#include "wire/startup.h"

#include <algorithm>

#include "wire/message_reader.h"

namespace doorman::wire {

namespace {

constexpr std::uint32_t kCancelCode = (1234U << 16U) | 5678U;
constexpr std::uint32_t kSslCode = (1234U << 16U) | 5679U;
constexpr std::uint32_t kGssCode = (1234U << 16U) | 5680U;

Result<StartupPacket> parse_parameters(std::uint16_t minor, MessageReader& reader) {
  Startup startup;
  startup.minor = minor;
  startup.parameters.reserve(8);  // most clients send fewer
  while (true) {
    const std::string_view name = reader.text();
    if (reader.failed()) break;
    if (name.empty()) {
      if (!reader.at_end()) break;
      return StartupPacket(std::move(startup));
    }
    const std::string_view value = reader.text();
    if (reader.failed()) break;
    if (name.starts_with("_pq_.")) {
      startup.unknown_options.emplace_back(name);
    } else {
      startup.parameters.push_back({.name = std::string(name), .value = std::string(value)});
    }
  }
  return Error{ErrorCode::Protocol,
               "invalid startup packet layout: expected terminator as last byte"};
}

// Words between blanks; a backslash makes the next character part of a word.
std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')) {
      if (open) words.push_back(std::move(word));
      word.clear();
      open = false;
      continue;
    }
    open = true;
    if (text[i] == '\\' && ++i == text.size()) break;  // at the very end it says nothing
    word.push_back(text[i]);
  }
  if (open) words.push_back(std::move(word));
  return words;
}

Result<Parameter> parse_assignment(std::string_view text, std::string_view switch_name) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return Error{ErrorCode::Protocol,
                 std::string(switch_name) + std::string(text) + " requires a value"};
  }
  Parameter parameter = {.name = std::string(text.substr(0, equals)),
                         .value = std::string(text.substr(equals + 1))};
  std::replace(parameter.name.begin(), parameter.name.end(), '-', '_');
  return parameter;
}

}  // namespace

Result<std::optional<std::size_t>> startup_length(Bytes input) {
  if (input.size() < 4) return std::optional<std::size_t>();
  const std::uint32_t length = read_u32(input.data());
  if (length < 8 || length > kMaxStartupLength) {
    return Error{ErrorCode::Protocol, "invalid length of startup packet"};
  }
  return std::optional<std::size_t>(length);
}

Result<StartupPacket> parse_startup(Bytes packet) {
  MessageReader reader(packet.subspan(4));
  const std::uint32_t code = reader.u32();
  if (code == kSslCode) return StartupPacket(SslRequest{});
  if (code == kGssCode) return StartupPacket(GssRequest{});
  if (code == kCancelCode) {
    if (packet.size() < 16 || packet.size() > 8 + 260) {
      return Error{ErrorCode::Protocol, "invalid length of query cancel packet"};
    }
    return StartupPacket(CancelRequest{.key = std::string(text_of(packet.subspan(8)))});
  }
  const std::uint32_t major = code >> 16U;
  const auto minor = static_cast<std::uint16_t>(code & 0xffffU);
  if (major != 3) {
    return Error{ErrorCode::Protocol, "unsupported frontend protocol " + std::to_string(major) +
                                          "." + std::to_string(minor) +
                                          ": server supports 3.0 to 3." +
                                          std::to_string(kNewestMinor)};
  }
  return parse_parameters(minor, reader);
}

std::string negotiate_protocol_version(std::uint16_t minor,
                                       const std::vector<std::string>& unknown) {
  MessageWriter out;
  out.begin('v').u32((3U << 16U) | minor).u32(static_cast<std::uint32_t>(unknown.size()));
  for (const std::string& name : unknown) out.text(name);
  return out.end().take();
}

Result<std::vector<Parameter>> parse_options(std::string_view options) {
  std::vector<Parameter> parameters;
  const std::vector<std::string> words = split_words(options);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.starts_with("--")) {
      parameters.push_back(TRY(parse_assignment(std::string_view(word).substr(2), "--")));
    } else if (word == "-c" && i + 1 < words.size()) {
      parameters.push_back(TRY(parse_assignment(words[++i], "-c ")));
    } else if (word.starts_with("-c") && word.size() > 2) {
      parameters.push_back(TRY(parse_assignment(std::string_view(word).substr(2), "-c ")));
    } else {
      return Error{ErrorCode::Protocol,
                   "invalid command-line argument for server process: " + word};
    }
  }
  return parameters;
}

}  // namespace doorman::wire
