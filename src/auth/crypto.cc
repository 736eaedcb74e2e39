#include "auth/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <limits>
#include <memory>

#include "base/check.h"

namespace doorman::auth {

namespace {

struct FreeDigest {
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
};

const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* raw(Key& key) { return reinterpret_cast<unsigned char*>(key.data()); }

int to_int(std::size_t size) {
  CHECK(size <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  return static_cast<int>(size);
}

}  // namespace

Key sha256(std::span<const std::byte> bytes) {
  Key out;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), raw(out), nullptr, EVP_sha256(), nullptr) == 1);
  return out;
}

Key hmac_sha256(std::span<const std::byte> key, std::string_view text) {
  Key out;
  CHECK(HMAC(EVP_sha256(), key.data(), to_int(key.size()), raw(text), text.size(), raw(out),
             nullptr) != nullptr);
  return out;
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

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), to_int(count)) == 1);
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
