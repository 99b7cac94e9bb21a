// Operators: their tokens, what they did, and errors.

#include "server/admin/shapes.hpp"
#include "server/admin/shapes/fields.hpp"

namespace relay::shapes {
namespace {

constexpr std::string_view roles[] = {"viewer", "operator", "owner"};

constexpr json_field page_fields[] = {limit_field, cursor_field};
constexpr json_field audit_row_fields[] = {
    id_field,
    time_field("at", "When", false),
    text_field("made_by", "The name of an admin token, or \"command line\""),
    text_field("operation", "operationId of what was done"),
    text_field("target", "To what"),
    any_field("before", "What was there; null: nothing"),
    any_field("after", "What was to be there; null: nothing"),
    text_field("request_id", "X-Request-Id of the request")};
constexpr shape audit_row{"AuditRow", audit_row_fields};
constexpr auto audit_fields = page_of(audit_row);

constexpr json_field all_of_admin_token[] = {
    text_field("name", "Its name"),
    json_field{.name = "role", .about = "What it may do", .allowed = roles},
    hint_field,
    made_at_field,
    expires_at_field,
    revoked_at_field};
constexpr auto& admin_token_fields = all_of_admin_token;
constexpr json_field made_admin_token_fields_more[] = {made_secret_field};
constexpr auto made_admin_token_fields = joined(all_of_admin_token, made_admin_token_fields_more);
constexpr json_field new_admin_token_fields[] = {
    {.name = "name", .about = "What to call it", .required = true, .form = &token_form},
    {.name = "role", .about = "What it may do", .required = true, .allowed = roles},
    expires_field};
constexpr json_field identity_fields[] = {text_field("name", "Of the admin token, or \"command line\""),
                                          {.name = "role", .about = "What it may do", .allowed = roles}};
constexpr json_field problem_fields[] = {text_field("type", "about:blank"),
                                         text_field("title", "The phrase of the status"),
                                         whole_field("status", "The HTTP status"),
                                         text_field("code", "A word for programs"),
                                         text_field("detail", "What was wrong, where, and what is allowed"),
                                         text_field("request_id", "By which the relay's log knows it")};
constexpr json_field admin_tokens_fields[] = {
    {.name = "items", .is = k::objects, .about = "All of them", .of = &shapes::admin_token}};

}  // namespace

const shape page{"Page", page_fields};
const shape new_admin_token{"NewAdminToken", new_admin_token_fields};
const shape identity{"Identity", identity_fields};
const shape audit{"Audit", audit_fields};
const shape admin_token{"AdminToken", admin_token_fields};
const shape admin_tokens{"AdminTokens", admin_tokens_fields};
const shape made_admin_token{"MadeAdminToken", made_admin_token_fields};
const shape problem{"Problem", problem_fields};

}  // namespace relay::shapes
