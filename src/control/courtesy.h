// What drivers and health checks ask of every PostgreSQL, answered without doing anything: SELECT
// 1, and SHOW and SET of the parameters that they want to be sure of at login.
#pragma once

#include <optional>
#include <vector>

#include "control/answer.h"
#include "control/tokens.h"

namespace doorman::control {

std::optional<Answer> courtesy(const std::vector<Word>& words);

}  // namespace doorman::control
