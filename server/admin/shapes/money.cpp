// Amounts, the ledger, and usage.

#include "common/base/money.hpp"
#include "common/base/time.hpp"
#include "server/admin/shapes.hpp"
#include "server/admin/shapes/fields.hpp"
#include "server/usage_report.hpp"

namespace relay::shapes {
namespace {

constexpr std::string_view amount_rule =
    "must be an amount such as 25 or 0.40, with at most six digits after the point, up to 1000000000";
constexpr text_form amount_form{"^-?([0-9]{1,9}|1000000000)(\\.[0-9]{1,6})?$", "", amount_rule,
                                [](std::string_view t) { return parse_money(t).has_value(); }};
constexpr text_form paid_form{"^([0-9]{1,9}|1000000000)(\\.[0-9]{1,6})?$", "", amount_rule,
                              [](std::string_view t) { return parse_money(t).has_value(); }};
constexpr text_form day_form{"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "date",
                             "must be a day such as 2026-11-29, in UTC",
                             [](std::string_view t) { return parse_day(t).has_value(); }};

constexpr std::string_view ledger_kinds[] = {"topup", "hold", "charge", "release", "adjust"};
constexpr std::string_view report_formats[] = {"json", "csv"};

constexpr json_field ledger_note_field{
    .name = "note", .about = "Why; it stays in the ledger", .max = max_account_note};
constexpr json_field amount_of(const text_form& form) {
  return {.name = "amount",
          .about = "Decimal text in billing.currency, such as \"25\" or \"0.40\"",
          .required = true,
          .form = &form};
}
constexpr json_field paid_fields[] = {amount_of(paid_form), ledger_note_field};
constexpr json_field amount_fields[] = {amount_of(amount_form), ledger_note_field};

constexpr json_field all_of_row[] = {
    id_field,
    time_field("at", "When", false),
    text_field("account", "Its name"),
    json_field{.name = "kind", .about = "What happened", .allowed = ledger_kinds},
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
     .default_value = "account,day"},
    of_account_field,
    {.name = "format",
     .about = "JSON, or a table as CSV",
     .allowed = report_formats,
     .default_value = "json"}};
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

}  // namespace

const shape amount{"Amount", amount_fields};
const shape amount_paid{"AmountPaid", paid_fields};
const shape ledger_query{"LedgerQuery", ledger_query_fields};
const shape usage_query{"UsageQuery", usage_query_fields};
const shape booked{"Booked", booked_fields};
const shape ledger{"Ledger", ledger_fields};
const shape usage_row{"UsageRow", usage_row_fields};
const shape usage{"Usage", usage_fields};

}  // namespace relay::shapes
