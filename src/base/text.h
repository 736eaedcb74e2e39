// Small helpers for text: what the system calls an error, lists, bytes that are safe to show.
//
// Not a string library: what is here is used by more than one layer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace doorman {

// The system's words for an errno, from any thread.
std::string errno_text(int error);

// "unix socket /x: Permission denied": the way all messages about a failed call read.
std::string errno_text(std::string_view what, int error);

std::string_view trim(std::string_view text);

// The items of a comma-separated list, trimmed, without the empty ones. They point into `text`.
std::vector<std::string_view> split_list(std::string_view text);

// `text` with its control characters written as \n, \t or \x1b, so that a peer's bytes can neither
// begin a line of the log nor reach a terminal. Bytes above 0x7f pass (UTF-8).
std::string escape_control(std::string_view text);

}  // namespace doorman
