#pragma once

// The official rules for a create request, on the official field names. A wrong type is a 422 in pydantic's
// form, a broken rule a 400 with the official text; both list every problem at once. Fields without a rule
// pass, but for those that say what a job is made of and are not known to its action: they would be lost in
// silence.

#include "common/luma/actions.hpp"

namespace relay::luma {

inline constexpr std::size_t min_prompt = 3;     // code points
inline constexpr std::size_t max_prompt = 5000;  // code points
inline constexpr std::size_t max_callback_url = 2048;
inline constexpr std::size_t max_other_fields = 64 * 1024;  // bytes, unknown ones included

/// Adds to `out` all that is wrong with `request`.
void validate(const action& a, const json::object& request, const field_names& names, problems& out);

/// Makes booleans and numbers of text that pydantic reads as such: "true", "no", "60"; and of 0 and 1. What
/// is none stays, for validate() to refuse.
void coerce(const action& a, json::object& request);

/// Moves a callback URL out of the request; adds to `wrong` what is wrong with it.
void take_callback_url(json::object& request, const char* field, std::string& into, problems& wrong);

// Rules over several fields; the table of actions refers to them.
void check_video(const json::object& request, const field_names& names, problems& out);
void check_image(const json::object& request, const field_names& names, problems& out);
void check_media(const json::object& request, const field_names& names, problems& out);

}  // namespace relay::luma
