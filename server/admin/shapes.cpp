#include "server/admin/shapes.hpp"

#include <algorithm>
#include <array>

#include "common/base/money.hpp"
#include "common/base/time.hpp"
#include "common/engine/account.hpp"
#include "common/engine/customer_limits.hpp"
#include "common/engine/token.hpp"
#include "server/usage_report.hpp"

namespace relay::shapes {
namespace {

using k = json_kind;

// ---- forms of texts

constexpr text_form name_form{"^(?!\\.{1,2}$)[A-Za-z0-9._@-]{1,64}$", "",
                              "must be 1 to 64 letters, digits or any of . _ - @",
                              [](std::string_view t) { return valid_account_name(t); }};
static_assert(max_account_name == 64 && max_token_name == 64);
constexpr text_form token_form{name_form.pattern, "", name_form.rule,
                               [](std::string_view t) { return valid_token_name(t); }};
constexpr std::string_view amount_rule =
    "must be an amount such as 25 or 0.40, with at most six digits after the point, up to 1000000000";
constexpr text_form amount_form{"^-?([0-9]{1,9}|1000000000)(\\.[0-9]{1,6})?$", "", amount_rule,
                                [](std::string_view t) { return parse_money(t).has_value(); }};
constexpr text_form paid_form{"^([0-9]{1,9}|1000000000)(\\.[0-9]{1,6})?$", "", amount_rule,
                              [](std::string_view t) { return parse_money(t).has_value(); }};
constexpr text_form day_form{"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "date",
                             "must be a day such as 2026-11-29, in UTC",
                             [](std::string_view t) { return parse_day(t).has_value(); }};
constexpr text_form moment_form{
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$", "", "must be a time such as 2026-11-29T08:00:00Z, or a day, in UTC",
    [](std::string_view t) { return parse_day(t).has_value() || from_iso(t).has_value(); }};
constexpr text_form time_form{"", "date-time", "", nullptr};
constexpr text_form shown_day_form{"", "date", "", nullptr};
constexpr text_form cursor_form{
    "^[0-9]{1,18}$", "", "must be the `next` of the page before", [](std::string_view t) {
      return !t.empty() && t.size() <= 18 && t.find_first_not_of("0123456789") == t.npos;
    }};
constexpr text_form model_form{
    "^[^ \\t\\r\\n]{1,64}$", "", "must be names without spaces, in which \"*\" stands for any characters",
    [](std::string_view t) {
      return !t.empty() && t.size() <= max_account_name && t.find_first_of(" \t\r\n") == t.npos;
    }};

constexpr std::string_view roles[] = {"viewer", "operator", "owner"};
constexpr std::string_view job_states[] = {"pending", "submitting", "ambiguous", "held",       "queued",
                                           "running", "completed",  "failed",    "undelivered"};
constexpr std::string_view ledger_kinds[] = {"topup", "hold", "charge", "release", "adjust"};
constexpr std::string_view report_formats[] = {"json", "csv"};

constexpr std::int64_t longest_s = 3'660LL * 86'400;

// ---- members that several have

constexpr json_field limit_field{.name = "limit",
                                 .is = k::whole,
                                 .about = "How many items a page has at most",
                                 .least = 1,
                                 .most = max_items,
                                 .usual = "50"};
constexpr json_field cursor_field{
    .name = "cursor", .about = "`next` of the page before; the first page without it", .form = &cursor_form};
constexpr json_field next_field{
    .name = "next", .about = "`cursor` of the next page; null: this is the last one", .nullable = true};
constexpr json_field note_field{.name = "note", .about = "For the operator alone", .most = max_account_note};
constexpr json_field keep_pending_field{
    .name = "keep_pending",
    .is = k::flag,
    .about = "What waits to be submitted is submitted all the same, instead of cancelled",
    .usual = "false"};
constexpr json_field expires_field{.name = "expires_in_s",
                                   .is = k::whole,
                                   .about = "Seconds from now after which it is refused; 0: never",
                                   .most = longest_s};
constexpr json_field of_account_field{.name = "account", .about = "The name of an account"};

constexpr json_field number_of_limit(std::string_view name, std::string_view about, bool nullable) {
  return {.name = name,
          .is = k::whole,
          .about = about,
          .nullable = nullable,
          .optional = true,
          .most = max_limit};
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

constexpr json_field time_field(std::string_view name, std::string_view about, bool nullable = true) {
  return {.name = name, .about = about, .nullable = nullable, .form = &time_form};
}
constexpr json_field text_field(std::string_view name, std::string_view about) {
  return {.name = name, .about = about};
}
constexpr json_field whole_field(std::string_view name, std::string_view about) {
  return {.name = name, .is = k::whole, .about = about};
}
constexpr json_field flag_field(std::string_view name, std::string_view about) {
  return {.name = name, .is = k::flag, .about = about};
}
constexpr json_field any_field(std::string_view name, std::string_view about) {
  return {.name = name, .is = k::any, .about = about, .nullable = true};
}

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

// ---- accounts

constexpr json_field contact_field{
    .name = "contact", .about = "How to reach the customer", .most = max_account_contact};
constexpr json_field weight_field{.name = "weight",
                                  .is = k::whole,
                                  .about = "Jobs that go out in one turn of the accounts",
                                  .least = 1,
                                  .most = max_account_weight};
constexpr json_field actions_field{
    .name = "actions", .is = k::texts, .about = "Kinds of jobs that it may create; none: all", .most = 100};
constexpr json_field models_field{
    .name = "models",
    .is = k::texts,
    .about = "Models that it may use, \"*\" stands for any characters; none: all",
    .form = &model_form,
    .most = max_account_models};
constexpr json_field prepaid_field{
    .name = "prepaid",
    .is = k::flag,
    .about = "It pays in advance: what its balance does not cover is refused; else it may go below zero"};
constexpr json_field group_field{
    .name = "group",
    .about = "A [[group]] of the configuration, by whose factor prices are multiplied",
    .most = max_account_name};

constexpr json_field page_fields[] = {limit_field, cursor_field};
constexpr json_field new_account_fields[] = {
    {.name = "name", .about = "Its name", .required = true, .form = &name_form},
    note_field,
    contact_field,
    weight_field,
    actions_field,
    models_field,
    prepaid_field,
    group_field,
    limits_change_field};
constexpr json_field account_change_fields[] = {{.name = "name", .about = "Another name", .form = &name_form},
                                                note_field,
                                                contact_field,
                                                weight_field,
                                                actions_field,
                                                models_field,
                                                prepaid_field,
                                                group_field,
                                                limits_change_field};
constexpr json_field disabling_fields[] = {keep_pending_field};
constexpr json_field ledger_note_field{
    .name = "note", .about = "Why; it stays in the ledger", .most = max_account_note};
constexpr json_field amount_of(const text_form& form) {
  return {.name = "amount",
          .about = "Decimal text in billing.currency, such as \"25\" or \"0.40\"",
          .required = true,
          .form = &form};
}
constexpr json_field paid_fields[] = {amount_of(paid_form), ledger_note_field};
constexpr json_field amount_fields[] = {amount_of(amount_form), ledger_note_field};

constexpr json_field id_field{.name = "id", .is = k::whole, .about = "Its number, which never changes"};
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
    time_field("created_at", "When it was made")};
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
constexpr json_field webhook_secret_fields[] = {
    {.name = "secret",
     .about = "It signs the callbacks of the account's jobs (Standard Webhooks); null in a repeated response",
     .nullable = true,
     .secret = true}};

// ---- money

constexpr json_field all_of_row[] = {
    id_field,
    time_field("at", "When", false),
    text_field("account", "Its name"),
    json_field{.name = "kind", .about = "What happened", .words = ledger_kinds},
    text_field("amount", "By which the balance changed"),
    text_field("held", "By which what is held changed"),
    text_field("balance_after", "The balance then"),
    text_field("held_after", "What was held then"),
    text_field("cost", "Of a charge: what the upstream takes"),
    text_field("job", "Of which job; empty: of none"),
    text_field("token", "With which it was created"),
    text_field("upstream", "Of the job"),
    text_field("upstream_id", "The job's id there"),
    text_field("request_id", "Of the create"),
    text_field("note", "The operator's"),
    text_field("made_by", "Who did it; empty: the relay")};
constexpr auto& ledger_row_fields = all_of_row;
constexpr json_field booked_fields_more[] = {text_field("left", "What can be spent now"),
                                             text_field("currency", "billing.currency")};
constexpr auto booked_fields = joined(all_of_row, booked_fields_more);
constexpr shape ledger_row{"LedgerRow", ledger_row_fields};
constexpr json_field ledger_query_fields[] = {of_account_field, text_field("job", "The id of a job"),
                                              limit_field, cursor_field};
constexpr json_field ledger_fields[] = {
    {.name = "items", .is = k::objects, .about = "The newest first", .of = &ledger_row},
    next_field,
    text_field("currency", "billing.currency")};

constexpr json_field usage_query_fields[] = {
    {.name = "since", .about = "First day, in UTC; 29 days before the last without it", .form = &day_form},
    {.name = "until", .about = "Last day; today without it", .form = &day_form},
    {.name = "by",
     .about = "Some of day, account, token, action, model, upstream, outcome, with commas between",
     .usual = "account,day"},
    of_account_field,
    {.name = "format", .about = "JSON, or a table as CSV", .words = report_formats, .usual = "json"}};
constexpr json_field optional_text(std::string_view name, std::string_view about) {
  return {.name = name, .about = about, .optional = true};
}
constexpr json_field usage_row_fields[] = {
    optional_text("day", "In UTC"),
    optional_text("account", "Its name"),
    optional_text("token", "ACCOUNT/NAME"),
    optional_text("action", "The kind of job"),
    optional_text("model", "Its own name"),
    optional_text("upstream", "Where it ran"),
    optional_text("outcome", "completed, failed or refused"),
    whole_field("jobs", "That ended"),
    text_field("amount", "What the accounts pay"),
    text_field("cost", "What the upstreams take"),
    text_field("margin", "The amount without the cost"),
    whole_field("wait_ms", "From created to accepted upstream, of all of them"),
    whole_field("run_ms", "From then to the end")};
constexpr json_field usage_fields[] = {
    {.name = "since", .about = "First day", .form = &shown_day_form},
    {.name = "until", .about = "Last day", .form = &shown_day_form},
    text_field("currency", "billing.currency"),
    {.name = "rows", .is = k::objects, .about = "Counts", .of = &usage_row}};

// ---- tokens

constexpr json_field addresses_field{
    .name = "addresses",
    .is = k::texts,
    .about = "From which it may be used, such as 203.0.113.0/24; none: from any",
    .most = 1'000};
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
                                           .most = 366LL * 86'400,
                                           .usual = "86400"}};
constexpr json_field all_of_token[] = {
    id_field,
    text_field("name", "Its name"),
    text_field("account", "Whose it is"),
    text_field("hint", "The last four characters"),
    time_field("created_at", "When it was made"),
    time_field("expires_at", "From when it is refused; null: never"),
    addresses_field,
    limits_field,
    json_field{.name = "last_used",
               .about = "The day of its last use; null: not used",
               .nullable = true,
               .form = &shown_day_form},
    time_field("revoked_at", "When it was revoked; null: it was not"),
    time_field("old_ends_at", "Until when the secret before the last rotation works; null: not at all")};
constexpr auto& token_fields = all_of_token;
constexpr json_field made_token_fields_more[] = {
    {.name = "token",
     .about = "The token itself, shown this once; null in a repeated response",
     .nullable = true,
     .secret = true}};
constexpr auto made_token_fields = joined(all_of_token, made_token_fields_more);
constexpr json_field rotated_token_fields[] = {
    {.name = "token",
     .about = "Its new secret, shown this once; null in a repeated response",
     .nullable = true,
     .secret = true},
    time_field("old_ends_at", "Until when the old one works"),
    time_field("ended_before", "Until when the one before that was to work, which has ended now")};

// ---- jobs

constexpr json_field job_query_fields[] = {
    {.name = "state",
     .about = "pending: waits to be submitted; ambiguous: its submission's response was lost; held: since a "
              "backup was restored; undelivered: its last callback was not delivered",
     .words = job_states},
    of_account_field,
    text_field("token", "NAME or ACCOUNT/NAME, with which it was created"),
    text_field("upstream", "The name of a key of an upstream"),
    text_field("action", "The kind of job"),
    {.name = "since", .about = "Created then or later: a time, or a day", .form = &moment_form},
    {.name = "until", .about = "Created before that time, or on that day or before", .form = &moment_form},
    {.name = "text", .about = "The id begins with it, or it is in the upstream's id", .most = 200},
    limit_field,
    cursor_field};
constexpr json_field jobs_to_cancel_fields[] = {
    of_account_field,
    text_field("token", "NAME or ACCOUNT/NAME, with which they were created"),
    {.name = "all",
     .is = k::flag,
     .about = "Of all accounts, those that are held included",
     .usual = "false"}};
constexpr json_field all_of_summary[] = {
    text_field("id", "As clients know it"),
    text_field("state", "As in the query"),
    text_field("account", "Whose it is"),
    text_field("token", "With which it was created"),
    text_field("action", "The kind of job"),
    text_field("upstream", "Where it is; empty: nowhere"),
    text_field("upstream_id", "Its id there"),
    whole_field("attempts", "To submit it"),
    time_field("created_at", "When"),
    time_field("updated_at", "When it last changed"),
    text_field("fail_reason", "Why it failed"),
    whole_field("callbacks_pending", "Callbacks that are to be delivered"),
    text_field("why", "What it waits for, or what became of it, in a sentence")};
constexpr auto& job_summary_fields = all_of_summary;
constexpr shape job_summary{"JobSummary", job_summary_fields};
constexpr json_field story_line_fields[] = {time_field("at", "When", false),
                                            text_field("text", "What happened")};
constexpr shape story_line{"StoryLine", story_line_fields};
constexpr json_field callback_of_job_fields[] = {
    text_field("url", "Where they go; empty: nowhere"),  text_field("pending", "States that are to be sent"),
    whole_field("done", "That were delivered"),          whole_field("attempts", "Of the one that is next"),
    flag_field("stopped", "Its receiver wants no more"), text_field("last_problem", "Of the last attempt"),
    time_field("next_at", "Of the next attempt")};
constexpr shape callback_of_job{"JobCallbacks", callback_of_job_fields};
constexpr json_field job_fields_more[] = {
    {.name = "story", .is = k::objects, .about = "What happened to it, in order", .of = &story_line},
    text_field("dialect", "In which it was created"),
    any_field("request", "What the client sent"),
    whole_field("progress", "In percent"),
    whole_field("fail_status", "HTTP status that made it fail; 0: none"),
    whole_field("polls_without_response", "Since the last one that came"),
    {.name = "callback", .is = k::object, .about = "Its callbacks", .of = &callback_of_job},
    text_field("attempt_id", "Of the last submission"),
    time_field("attempted_at", "When it was last submitted"),
    time_field("ambiguous_at", "When the response to that was lost"),
    time_field("cancelled_at", "When an operator cancelled it"),
    time_field("started_at", "When the upstream had it"),
    time_field("finished_at", "When it ended"),
    time_field("deadline", "When it fails unless something happens"),
    time_field("next_submit_at", "When it is to be submitted"),
    time_field("next_poll_at", "When it is to be polled"),
    time_field("next_reconcile_at", "When it is to be looked up"),
    whole_field("revision", "How many times it was saved"),
    any_field("upstream_reply", "The last that the upstream said of it")};
constexpr auto job_fields = joined(all_of_summary, job_fields_more);
constexpr json_field job_state_fields[] = {text_field("id", "As clients know it"),
                                           text_field("state", "What it is now")};
constexpr json_field released_fields[] = {whole_field("released", "Jobs that may be submitted now")};
constexpr json_field callback_query_fields[] = {of_account_field, limit_field, cursor_field};
constexpr json_field callback_fields[] = {
    text_field("job", "Its id"),
    text_field("account", "Whose it is"),
    text_field("state", "Of the job"),
    text_field("url", "Where it goes"),
    whole_field("attempts", "That failed so far"),
    flag_field("stopped", "The receiver wants no more"),
    text_field("last_problem", "Of the last attempt"),
    time_field("next_at", "Of the next attempt; null: there is none until it is asked for")};
constexpr shape callback{"Callback", callback_fields};

// ---- upstreams and the relay itself

constexpr json_field key_fields[] = {
    {.name = "key",
     .about = "One key of the upstream; \"\" is the one without a name; all of them when it is left out",
     .most = 200}};
constexpr json_field upstream_fields[] = {
    text_field("name", "Of the upstream, with its key: NAME/KEY"),
    text_field("protocol", "That it speaks"),
    text_field("url", "Where it is"),
    text_field("state",
               "ok, paused, draining, cool-down, open circuit, half open, poll_only, not configured"),
    time_field("until", "Until when it gets no jobs by itself"),
    whole_field("rank", "Those with the smallest get jobs first"),
    whole_field("weight", "Share among those of one rank"),
    whole_field("open_jobs", "That it has"),
    whole_field("submitting", "Submissions under way"),
    flag_field("waiting", "Jobs wait for it"),
    whole_field("max_concurrent", "Configured limit of jobs at once; 0: none"),
    whole_field("learned_concurrent", "The same, learned from its refusals; 0: not known"),
    whole_field("creates_per_minute", "Configured limit of submissions in a minute; 0: none"),
    whole_field("learned_per_minute", "The same, learned; 0: not known"),
    text_field("problem", "The last one; empty: none"),
    time_field("problem_at", "When"),
    whole_field("connections", "Open"),
    whole_field("connections_made", "Since the start"),
    whole_field("connections_resumed", "Of them with a resumed TLS session")};
constexpr shape upstream{"Upstream", upstream_fields};
constexpr json_field upstreams_fields[] = {
    {.name = "items", .is = k::objects, .about = "Each key of each upstream", .of = &upstream}};
constexpr json_field upstream_mode_fields[] = {
    {.name = "changed", .is = k::texts, .about = "Keys that it is about"},
    whole_field("open_jobs", "That they have"),
    text_field("mode", "What they are now")};
constexpr json_field configuration_fields[] = {text_field("toml", "What is in force, with secrets left out")};
constexpr json_field part_fields[] = {flag_field("ok", "It works"),
                                      optional_text("why", "What is wrong, when it does not")};
constexpr shape part{"Part", part_fields};
constexpr json_field parts_fields[] = {
    {.name = "relay", .is = k::object, .about = "It does not stop", .of = &part},
    {.name = "database", .is = k::object, .about = "It can be written", .of = &part},
    {.name = "disk", .is = k::object, .about = "It has space for new jobs", .of = &part},
    {.name = "upstreams", .is = k::object, .about = "One takes jobs", .of = &part},
    {.name = "queue", .is = k::object, .about = "Jobs are submitted in time", .of = &part}};
constexpr shape parts{"Parts", parts_fields};
constexpr json_field health_fields[] = {
    text_field("status", "ready, or not ready: it stops, or its database cannot be written"),
    flag_field("takes_jobs", "New ones are accepted"),
    {.name = "parts", .is = k::object, .about = "How each part is", .of = &parts}};
constexpr json_field reloaded_fields[] = {
    {.name = "changes", .is = k::texts, .about = "What is different now, a line each"}};
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

constexpr json_field all_of_admin_token[] = {
    text_field("name", "Its name"),
    json_field{.name = "role", .about = "What it may do", .words = roles},
    text_field("hint", "The last four characters"),
    time_field("created_at", "When it was made"),
    time_field("expires_at", "From when it is refused; null: never"),
    time_field("revoked_at", "When it was revoked; null: it was not")};
constexpr auto& admin_token_fields = all_of_admin_token;
constexpr json_field made_admin_token_fields_more[] = {
    {.name = "token",
     .about = "The token itself, shown this once; null in a repeated response",
     .nullable = true,
     .secret = true}};
constexpr auto made_admin_token_fields = joined(all_of_admin_token, made_admin_token_fields_more);
constexpr json_field new_admin_token_fields[] = {
    {.name = "name", .about = "What to call it", .required = true, .form = &token_form},
    {.name = "role", .about = "What it may do", .required = true, .words = roles},
    expires_field};
constexpr json_field identity_fields[] = {text_field("name", "Of the admin token, or \"command line\""),
                                          {.name = "role", .about = "What it may do", .words = roles}};
constexpr json_field problem_fields[] = {text_field("type", "about:blank"),
                                         text_field("title", "The phrase of the status"),
                                         whole_field("status", "The HTTP status"),
                                         text_field("code", "A word for programs"),
                                         text_field("detail", "What was wrong, where, and what is allowed"),
                                         text_field("request_id", "By which the relay's log knows it")};

constexpr auto accounts_fields = page_of(shapes::account);
constexpr auto tokens_fields = page_of(shapes::token);
constexpr auto jobs_fields = page_of(job_summary);
constexpr auto callbacks_fields = page_of(callback);
constexpr auto audit_fields = page_of(audit_row);
constexpr json_field admin_tokens_fields[] = {
    {.name = "items", .is = k::objects, .about = "All of them", .of = &shapes::admin_token}};

}  // namespace

const shape page{"Page", page_fields};
const shape new_account{"NewAccount", new_account_fields};
const shape account_change{"AccountChange", account_change_fields};
const shape disabling{"Disabling", disabling_fields};
const shape amount{"Amount", amount_fields};
const shape amount_paid{"AmountPaid", paid_fields};
const shape token_query{"TokenQuery", token_query_fields};
const shape new_token{"NewToken", new_token_fields};
const shape token_change{"TokenChange", token_change_fields};
const shape rotation{"Rotation", rotation_fields};
const shape job_query{"JobQuery", job_query_fields};
const shape jobs_to_cancel{"JobsToCancel", jobs_to_cancel_fields};
const shape callback_query{"CallbackQuery", callback_query_fields};
const shape ledger_query{"LedgerQuery", ledger_query_fields};
const shape usage_query{"UsageQuery", usage_query_fields};
const shape key_of_upstream{"UpstreamKey", key_fields};
const shape new_admin_token{"NewAdminToken", new_admin_token_fields};

const shape identity{"Identity", identity_fields};
const shape account{"Account", account_fields};
const shape account_with_balance{"AccountWithBalance", account_with_balance_fields};
const shape accounts{"Accounts", accounts_fields};
const shape cancelled{"Cancelled", cancelled_fields};
const shape webhook_secret{"WebhookSecret", webhook_secret_fields};
const shape booked{"Booked", booked_fields};
const shape token{"Token", token_fields};
const shape tokens{"Tokens", tokens_fields};
const shape made_token{"MadeToken", made_token_fields};
const shape rotated_token{"RotatedToken", rotated_token_fields};
const shape job{"Job", job_fields};
const shape jobs{"Jobs", jobs_fields};
const shape job_state{"JobState", job_state_fields};
const shape released{"Released", released_fields};
const shape callbacks{"Callbacks", callbacks_fields};
const shape ledger{"Ledger", ledger_fields};
const shape usage_row{"UsageRow", usage_row_fields};
const shape usage{"Usage", usage_fields};
const shape upstreams{"Upstreams", upstreams_fields};
const shape upstream_mode{"UpstreamMode", upstream_mode_fields};
const shape configuration{"Configuration", configuration_fields};
const shape health{"Health", health_fields};
const shape reloaded{"Reloaded", reloaded_fields};
const shape audit{"Audit", audit_fields};
const shape admin_token{"AdminToken", admin_token_fields};
const shape admin_tokens{"AdminTokens", admin_tokens_fields};
const shape made_admin_token{"MadeAdminToken", made_admin_token_fields};
const shape problem{"Problem", problem_fields};

}  // namespace relay::shapes
