// Jobs and their callbacks.

#include "common/base/time.hpp"
#include "server/admin/shapes.hpp"
#include "server/admin/shapes/fields.hpp"
#include "server/usage_report.hpp"

namespace relay::shapes {
namespace {

constexpr text_form moment_form{
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$", "", "must be a time such as 2026-11-29T08:00:00Z, or a day, in UTC",
    [](std::string_view t) { return parse_day(t).has_value() || from_iso(t).has_value(); }};

constexpr std::string_view job_states[] = {"pending", "submitting", "ambiguous", "held",       "queued",
                                           "running", "completed",  "failed",    "undelivered"};

constexpr json_field job_query_fields[] = {
    {.name = "state",
     .about = "pending: waits to be submitted; ambiguous: its submission's response was lost; held: since a "
              "backup was restored; undelivered: its last callback was not delivered",
     .allowed = job_states},
    of_account_field,
    text_field("token", "NAME or ACCOUNT/NAME, with which it was created"),
    text_field("upstream", "The name of a key of an upstream"),
    text_field("action", "The kind of job"),
    {.name = "since", .about = "Created then or later: a time, or a day", .form = &moment_form},
    {.name = "until", .about = "Created before that time, or on that day or before", .form = &moment_form},
    {.name = "text", .about = "The id begins with it, or it is in the upstream's id", .max = 200},
    limit_field,
    cursor_field};
constexpr json_field jobs_to_cancel_fields[] = {
    of_account_field,
    text_field("token", "NAME or ACCOUNT/NAME, with which they were created"),
    {.name = "all",
     .is = k::flag,
     .about = "Of all accounts, those that are held included",
     .default_value = "false"}};
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
constexpr auto jobs_fields = page_of(job_summary);
constexpr auto callbacks_fields = page_of(callback);

}  // namespace

const shape job_query{"JobQuery", job_query_fields};
const shape jobs_to_cancel{"JobsToCancel", jobs_to_cancel_fields};
const shape callback_query{"CallbackQuery", callback_query_fields};
const shape job{"Job", job_fields};
const shape jobs{"Jobs", jobs_fields};
const shape job_state{"JobState", job_state_fields};
const shape released{"Released", released_fields};
const shape callbacks{"Callbacks", callbacks_fields};

}  // namespace relay::shapes
