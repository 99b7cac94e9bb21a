// Accounts and tokens.

#include "common/engine/customer_limits.hpp"
#include "server/admin/shapes.hpp"
#include "server/admin/shapes/fields.hpp"

namespace relay::shapes {
namespace {

constexpr text_form model_form{
    "^[^ \\t\\r\\n]{1,64}$", "", "must be names without spaces, in which \"*\" stands for any characters",
    [](std::string_view t) {
      return !t.empty() && t.size() <= max_account_name && t.find_first_of(" \t\r\n") == t.npos;
    }};

constexpr json_field number_of_limit(std::string_view name, std::string_view about, bool nullable) {
  return {
      .name = name, .is = k::whole, .about = about, .nullable = nullable, .optional = true, .max = max_limit};
}
constexpr json_field limits_fields[] = {
    number_of_limit("pending", "Jobs that wait to be submitted", false),
    number_of_limit("open", "Jobs that have not ended", false),
    number_of_limit("creates_per_minute", "Jobs that are created in a minute", false),
    number_of_limit("requests_per_minute", "Requests in a minute", false),
    number_of_limit("batch", "Ids of one batch", false)};
constexpr json_field limits_change_fields[] = {
    number_of_limit("pending", "Jobs that wait to be submitted; null: as configured", true),
    number_of_limit("open", "Jobs that have not ended; null: as configured", true),
    number_of_limit("creates_per_minute", "Jobs that are created in a minute; null: as configured", true),
    number_of_limit("requests_per_minute", "Requests in a minute; null: as configured", true),
    number_of_limit("batch", "Ids of one batch; null: as configured", true)};
constexpr shape limits{"Limits", limits_fields};
constexpr shape limits_change{"LimitsChange", limits_change_fields};
constexpr json_field limits_field{.name = "limits",
                                  .is = k::numbers,
                                  .about = "Its own limits; 0: none; one that is left out is as configured",
                                  .of = &limits};
constexpr json_field limits_change_field{.name = "limits",
                                         .is = k::numbers,
                                         .about = "Limits that change; 0: none; null: as configured",
                                         .of = &limits_change};

constexpr json_field keep_pending_field{
    .name = "keep_pending",
    .is = k::flag,
    .about = "What waits to be submitted is submitted all the same, instead of cancelled",
    .default_value = "false"};

// ---- accounts

constexpr json_field contact_field{
    .name = "contact", .about = "How to reach the customer", .max = max_account_contact};
constexpr json_field weight_field{.name = "weight",
                                  .is = k::whole,
                                  .about = "Jobs that go out in one turn of the accounts",
                                  .min = 1,
                                  .max = max_account_weight};
constexpr json_field actions_field{
    .name = "actions", .is = k::texts, .about = "Kinds of jobs that it may create; none: all", .max = 100};
constexpr json_field models_field{
    .name = "models",
    .is = k::texts,
    .about = "Models that it may use, \"*\" stands for any characters; none: all",
    .form = &model_form,
    .max = max_account_models};
constexpr json_field prepaid_field{
    .name = "prepaid",
    .is = k::flag,
    .about = "It pays in advance: what its balance does not cover is refused; else it may go below zero"};
constexpr json_field group_field{
    .name = "group",
    .about = "A [[group]] of the configuration, by whose factor prices are multiplied",
    .max = max_account_name};

constexpr json_field account_settings[] = {note_field,   contact_field, weight_field, actions_field,
                                           models_field, prepaid_field, group_field,  limits_change_field};
constexpr json_field name_of_new[] = {
    {.name = "name", .about = "Its name", .required = true, .form = &name_form}};
constexpr json_field another_name[] = {{.name = "name", .about = "Another name", .form = &name_form}};
constexpr auto new_account_fields = joined(name_of_new, account_settings);
constexpr auto account_change_fields = joined(another_name, account_settings);
constexpr json_field disabling_fields[] = {keep_pending_field};

constexpr json_field all_of_account[] = {
    id_field,
    text_field("name", "Its name"),
    flag_field("enabled", "Else its tokens are refused"),
    note_field,
    contact_field,
    weight_field,
    limits_field,
    actions_field,
    models_field,
    prepaid_field,
    group_field,
    whole_field("tokens", "Tokens that are not revoked"),
    whole_field("open_jobs", "Jobs that have not ended"),
    whole_field("pending_jobs", "Of them those that wait to be submitted"),
    made_at_field};
constexpr auto& account_fields = all_of_account;
constexpr json_field account_with_balance_fields_more[] = {
    text_field("balance", "What it has, decimal text"),
    text_field("held", "Of it held for jobs that have not ended"), text_field("left", "What it can spend"),
    text_field("currency", "billing.currency"),
    flag_field("group_is_known", "False: the configuration has no such [[group]]: the full price")};
constexpr auto account_with_balance_fields = joined(all_of_account, account_with_balance_fields_more);

constexpr json_field cancelled_fields[] = {
    whole_field("cancelled", "Jobs that waited and are cancelled"),
    whole_field("submitting", "Jobs that are being submitted now; each ends unless the upstream takes it")};
constexpr json_field webhook_secret_fields[] = {secret_field(
    "secret",
    "It signs the callbacks of the account's jobs (Standard Webhooks); null in a repeated response")};
constexpr auto accounts_fields = page_of(shapes::account);

// ---- tokens

constexpr json_field addresses_field{
    .name = "addresses",
    .is = k::texts,
    .about = "From which it may be used, such as 203.0.113.0/24; none: from any",
    .max = 1'000};
constexpr json_field token_query_fields[] = {of_account_field, limit_field, cursor_field};
constexpr json_field new_token_fields[] = {
    {.name = "name", .about = "What to call it", .required = true, .form = &token_form},
    {.name = "account",
     .about = "Whose it is; without it the account with the same name, which is made if there is none",
     .form = &name_form},
    expires_field,
    addresses_field,
    limits_change_field};
constexpr json_field token_change_fields[] = {{.name = "name", .about = "Another name", .form = &token_form},
                                              expires_field,
                                              addresses_field,
                                              limits_change_field};
constexpr json_field rotation_fields[] = {{.name = "grace_s",
                                           .is = k::whole,
                                           .about = "Seconds for which the old secret still works",
                                           .max = 366LL * 86'400,
                                           .default_value = "86400"}};
constexpr json_field all_of_token[] = {
    id_field,
    text_field("name", "Its name"),
    text_field("account", "Whose it is"),
    hint_field,
    made_at_field,
    expires_at_field,
    addresses_field,
    limits_field,
    json_field{.name = "last_used",
               .about = "The day of its last use; null: not used",
               .nullable = true,
               .form = &shown_day_form},
    revoked_at_field,
    time_field("old_ends_at", "Until when the secret before the last rotation works; null: not at all")};
constexpr auto& token_fields = all_of_token;
constexpr json_field made_token_fields_more[] = {made_secret_field};
constexpr auto made_token_fields = joined(all_of_token, made_token_fields_more);
constexpr json_field rotated_token_fields[] = {
    secret_field("token", "Its new secret, shown this once; null in a repeated response"),
    time_field("old_ends_at", "Until when the old one works"),
    time_field("ended_before", "Until when the one before that was to work, which has ended now")};
constexpr auto tokens_fields = page_of(shapes::token);

}  // namespace

const shape new_account{"NewAccount", new_account_fields};
const shape account_change{"AccountChange", account_change_fields};
const shape disabling{"Disabling", disabling_fields};
const shape account{"Account", account_fields};
const shape account_with_balance{"AccountWithBalance", account_with_balance_fields};
const shape accounts{"Accounts", accounts_fields};
const shape cancelled{"Cancelled", cancelled_fields};
const shape webhook_secret{"WebhookSecret", webhook_secret_fields};
const shape token_query{"TokenQuery", token_query_fields};
const shape new_token{"NewToken", new_token_fields};
const shape token_change{"TokenChange", token_change_fields};
const shape rotation{"Rotation", rotation_fields};
const shape token{"Token", token_fields};
const shape tokens{"Tokens", tokens_fields};
const shape made_token{"MadeToken", made_token_fields};
const shape rotated_token{"RotatedToken", rotated_token_fields};

}  // namespace relay::shapes
