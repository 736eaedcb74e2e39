#include "auth/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>

#include "base/check.h"
#include "base/secret.h"

namespace doorman::auth {

namespace {

struct FreeDigest {
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// SHA-256, one for each thread: to find the algorithm and to make a context costs libcrypto more
// than to hash what a login has.
class Sha256 {
 public:
  Sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    CHECK(algorithm_ != nullptr && context_ != nullptr);
    begin();
  }

  Sha256& add(std::span<const std::byte> bytes) {
    CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
    return *this;
  }

  Key take() {
    Key out;
    auto* const to = reinterpret_cast<unsigned char*>(out.data());
    CHECK(EVP_DigestFinal_ex(context_.get(), to, nullptr) == 1);
    begin();
    return out;
  }

 private:
  // Overwrites what is left of the last one, too.
  void begin() { CHECK(EVP_DigestInit_ex(context_.get(), algorithm_.get(), nullptr) == 1); }

  std::unique_ptr<EVP_MD, FreeDigest> algorithm_;
  std::unique_ptr<EVP_MD_CTX, FreeDigest> context_;
};

Sha256& sha() {
  thread_local Sha256 of_thread;
  return of_thread;
}

const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* raw(Key& key) { return reinterpret_cast<unsigned char*>(key.data()); }

int to_int(std::size_t size) {
  CHECK(size <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  return static_cast<int>(size);
}

}  // namespace

Key sha256(std::span<const std::byte> bytes) { return sha().add(bytes).take(); }

// RFC 2104.
Key hmac_sha256(const Key& key, std::string_view text) {
  static constexpr std::byte kInner{0x36};
  static constexpr std::byte kOuter{0x5c};
  std::array<std::byte, 64> block{};
  const WipeAtEnd wiped(block);
  std::ranges::copy(key, block.begin());
  for (std::byte& each : block) each ^= kInner;
  const Key inner = sha().add(block).add(as_bytes(text)).take();
  for (std::byte& each : block) each ^= kInner ^ kOuter;
  return sha().add(block).add(inner).take();
}

Key pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations) {
  CHECK(iterations > 0);
  Key out;
  CHECK(PKCS5_PBKDF2_HMAC(password.data(), to_int(password.size()), raw(salt), to_int(salt.size()),
                          iterations, EVP_sha256(), to_int(out.size()), raw(out)) == 1);
  return out;
}

std::optional<std::string> md5_hex(std::string_view text) {
  const std::unique_ptr<EVP_MD, FreeDigest> md5(EVP_MD_fetch(nullptr, "MD5", nullptr));
  std::array<unsigned char, 16> digest;
  if (!md5 || EVP_Digest(text.data(), text.size(), digest.data(), nullptr, md5.get(), nullptr) != 1)
    return std::nullopt;

  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

void fill_with_random(std::span<char> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    CHECK(got > 0 || errno == EINTR);
    if (got > 0) bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  fill_with_random(bytes);
  return bytes;
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool same_text(std::string_view a, std::string_view b) {
  return same_bytes(as_bytes(a), as_bytes(b));
}

void xor_into(Key& a, const Key& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] ^= b[i];
}

}  // namespace doorman::auth
