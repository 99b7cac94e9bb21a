#pragma once

// Forms of texts, and members that objects of several kinds have. For the tables beside this file.

#include <algorithm>
#include <array>

#include "common/engine/account.hpp"
#include "common/engine/token.hpp"
#include "server/admin/shapes.hpp"

namespace relay::shapes {

using k = json_kind;

inline constexpr text_form name_form{"^(?!\\.{1,2}$)[A-Za-z0-9._@-]{1,64}$", "",
                                     "must be 1 to 64 letters, digits or any of . _ - @",
                                     [](std::string_view t) { return valid_account_name(t); }};
static_assert(max_account_name == 64 && max_token_name == 64);
inline constexpr text_form token_form{name_form.pattern, "", name_form.rule,
                                      [](std::string_view t) { return valid_token_name(t); }};
inline constexpr text_form time_form{"", "date-time", "", nullptr};
inline constexpr text_form shown_day_form{"", "date", "", nullptr};
inline constexpr text_form cursor_form{
    "^[0-9]{1,18}$", "", "must be the `next` of the page before", [](std::string_view t) {
      return !t.empty() && t.size() <= 18 && t.find_first_not_of("0123456789") == t.npos;
    }};
inline constexpr std::int64_t longest_s = 3'660LL * 86'400;

inline constexpr json_field limit_field{.name = "limit",
                                        .is = k::whole,
                                        .about = "How many items a page has at most",
                                        .min = 1,
                                        .max = max_items,
                                        .default_value = "50"};
inline constexpr json_field cursor_field{
    .name = "cursor", .about = "`next` of the page before; the first page without it", .form = &cursor_form};
inline constexpr json_field next_field{
    .name = "next", .about = "`cursor` of the next page; null: this is the last one", .nullable = true};
inline constexpr json_field note_field{
    .name = "note", .about = "For the operator alone", .max = max_account_note};
inline constexpr json_field expires_field{.name = "expires_in_s",
                                          .is = k::whole,
                                          .about = "Seconds from now after which it is refused; 0: never",
                                          .max = longest_s};
inline constexpr json_field of_account_field{.name = "account", .about = "The name of an account"};

constexpr json_field time_field(std::string_view name, std::string_view about, bool nullable = true) {
  return {.name = name, .about = about, .nullable = nullable, .form = &time_form};
}
constexpr json_field text_field(std::string_view name, std::string_view about) {
  return {.name = name, .about = about};
}
constexpr json_field optional_text(std::string_view name, std::string_view about) {
  return {.name = name, .about = about, .optional = true};
}
constexpr json_field whole_field(std::string_view name, std::string_view about) {
  return {.name = name, .is = k::whole, .about = about};
}
/// Of what is shown once.
constexpr json_field secret_field(std::string_view name, std::string_view about) {
  return {.name = name, .about = about, .nullable = true, .secret = true};
}
constexpr json_field flag_field(std::string_view name, std::string_view about) {
  return {.name = name, .is = k::flag, .about = about};
}
constexpr json_field any_field(std::string_view name, std::string_view about) {
  return {.name = name, .is = k::any, .about = about, .nullable = true};
}

inline constexpr json_field id_field{
    .name = "id", .is = k::whole, .about = "Its number, which never changes"};

// Of tokens, clients' and operators'.
inline constexpr json_field hint_field = text_field("hint", "The last four characters");
inline constexpr json_field made_at_field = time_field("created_at", "When it was made");
inline constexpr json_field expires_at_field =
    time_field("expires_at", "From when it is refused; null: never");
inline constexpr json_field revoked_at_field =
    time_field("revoked_at", "When it was revoked; null: it was not");
inline constexpr json_field made_secret_field =
    secret_field("token", "The token itself, shown this once; null in a repeated response");

template <std::size_t A, std::size_t B>
constexpr std::array<json_field, A + B> joined(const json_field (&first)[A], const json_field (&more)[B]) {
  std::array<json_field, A + B> out;
  std::ranges::copy(first, out.begin());
  std::ranges::copy(more, out.begin() + A);
  return out;
}

constexpr std::array<json_field, 2> page_of(const shape& row) {
  return {json_field{.name = "items", .is = k::objects, .about = "In order", .of = &row}, next_field};
}

}  // namespace relay::shapes
