#include "auth/md5.h"

#include <algorithm>

#include "auth/crypto.h"
#include "base/secret.h"

namespace doorman::auth {

namespace {

constexpr std::string_view kPrefix = "md5";
constexpr std::size_t kDigits = 32;

std::string hashed(const std::string& text) {
  auto hex = md5_hex(text);
  return hex ? std::string(kPrefix) + *hex : std::string();
}

}  // namespace

std::string md5_secret(std::string_view user, std::string_view password) {
  std::string text;
  text.reserve(password.size() + user.size());  // growing would leave a copy of the password
  text.append(password).append(user);
  const WipeAtEnd wiped(text);
  return hashed(text);
}

std::string md5_response(std::string_view stored_md5, Md5Salt salt) {
  if (!is_md5_secret(stored_md5)) return {};
  std::string text(stored_md5.substr(kPrefix.size()));
  for (const std::byte byte : salt) text += std::to_integer<char>(byte);
  return hashed(text);
}

bool is_md5_secret(std::string_view text) {
  if (text.size() != kPrefix.size() + kDigits || !text.starts_with(kPrefix)) return false;
  return text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

}  // namespace doorman::auth
