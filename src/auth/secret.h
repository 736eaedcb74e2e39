// A password as auth_file or pg_authid holds it, and whether what a client sent fits it.
//
// Nothing here speaks SCRAM: see auth/scram.h. Each comparison takes the same time wherever the
// difference is.
#pragma once

#include <string>
#include <string_view>

#include "auth/md5.h"

namespace doorman::auth {

struct Secret {
  enum class Kind { None, Plain, Md5, Scram };
  Kind kind = Kind::None;  // None: this user cannot log in with a password
  std::string text;
};

// Text that only looks like a hash is a plain password, as in PostgreSQL.
Secret classify(std::string text);

// The password method against a secret of any kind. Costly where the secret is Scram: call it off
// the event loop then.
bool verify_plain(const Secret& secret, std::string_view user, std::string_view password);

// The md5 method; a Scram secret never fits.
bool verify_md5(const Secret& secret, std::string_view user, std::string_view response,
                Md5Salt salt);

}  // namespace doorman::auth
