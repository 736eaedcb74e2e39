// What a user has proven by SCRAM, as a record: who goes on with its clients must be able to log in
// to servers as that user, and only a client's login tells the keys for it.
#pragma once

#include <string>
#include <string_view>

#include "auth/users.h"
#include "session/passwords.h"

namespace doorman::session {

std::string save_keys(PasswordWork& passwords, const std::string& user);  // empty: none are known
// Keys that do not fit the user's present secret are left out.
void load_keys(PasswordWork& passwords, const auth::Users& users, std::string_view record);

}  // namespace doorman::session
