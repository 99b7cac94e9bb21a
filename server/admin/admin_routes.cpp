// The admin API as one table.

#include "server/admin/admin_route.hpp"
#include "server/admin/handlers.hpp"
#include "server/admin/shapes.hpp"

namespace relay {
namespace {

using http::verb;
using namespace admin;
namespace s = shapes;

constexpr auto viewer = admin_role::viewer;
constexpr auto operator_ = admin_role::operator_;
constexpr auto owner = admin_role::owner;

constexpr other_media csv{"text/csv; charset=utf-8", "The same as a table, with format=csv"};
constexpr other_media database{"application/vnd.sqlite3", "The copy"};

constexpr admin_route created(admin_route r) {
  r.status = 201;
  return r;
}
constexpr admin_route with_etag(admin_route r) {
  r.has_etag = true;
  return r;
}
constexpr admin_route as(const other_media& media, admin_route r) {
  r.media = &media;
  return r;
}
// Takes long, and changes nothing that others look at.
constexpr admin_route beside_changes(admin_route r) {
  r.waits_its_turn = false;
  return r;
}
constexpr admin_route by_socket(admin_route r) {
  r.local_only = true;
  return r;
}

// clang-format off
const admin_route rows[] = {
    {verb::get,   "/me", "whoAmI", viewer, "Who calls, and what that caller may do", nullptr, nullptr, &s::identity, who_am_i},

    {verb::get,   "/accounts", "listAccounts", viewer, "All accounts, the oldest first", &s::page, nullptr, &s::accounts, list_accounts},
    with_etag(created({verb::post, "/accounts", "createAccount", operator_, "Make an account, which has no token yet", nullptr, &s::new_account, &s::account_with_balance, create_account})),
    with_etag({verb::get, "/accounts/{account}", "getAccount", viewer, "One account, with its balance", nullptr, nullptr, &s::account_with_balance, get_account}),
    with_etag({verb::patch, "/accounts/{account}", "changeAccount", operator_, "Change an account; what is left out stays", nullptr, &s::account_change, &s::account_with_balance, change_account}),
    with_etag({verb::post, "/accounts/{account}/enable", "enableAccount", operator_, "Let its tokens work again", nullptr, nullptr, &s::account_with_balance, enable_account}),
    with_etag({verb::post, "/accounts/{account}/disable", "disableAccount", operator_, "Refuse its tokens at once, and cancel what it has not submitted", nullptr, &s::disabling, &s::cancelled, disable_account}),
    {verb::get,   "/accounts/{account}/webhook-secret", "getWebhookSecret", owner, "The secret that signs its callbacks", nullptr, nullptr, &s::webhook_secret, get_webhook_secret},
    with_etag({verb::post, "/accounts/{account}/webhook-secret/rotate", "rotateWebhookSecret", owner, "Make a new one; the old one ends at once", nullptr, nullptr, &s::webhook_secret, rotate_webhook_secret}),
    with_etag({verb::post, "/accounts/{account}/topup", "topUpAccount", operator_, "Put an amount into its balance", nullptr, &s::amount_paid, &s::booked, top_up_account}),
    with_etag({verb::post, "/accounts/{account}/adjust", "adjustAccount", owner, "Correct its balance by an amount, which may be below zero", nullptr, &s::amount, &s::booked, adjust_account}),

    {verb::get,   "/tokens", "listTokens", viewer, "All tokens, the oldest first, never their text", &s::token_query, nullptr, &s::tokens, list_tokens},
    with_etag(created({verb::post, "/tokens", "createToken", operator_, "Make a token; its text is shown this once", nullptr, &s::new_token, &s::made_token, create_token})),
    with_etag({verb::get, "/tokens/{account}/{token}", "getToken", viewer, "One token; `*` is the account that has the only one in force of this name", nullptr, nullptr, &s::token, get_token}),
    with_etag({verb::patch, "/tokens/{account}/{token}", "changeToken", operator_, "Change a token without another secret", nullptr, &s::token_change, &s::token, change_token}),
    with_etag({verb::post, "/tokens/{account}/{token}/revoke", "revokeToken", operator_, "End a token at once, and cancel what it has not submitted", nullptr, &s::disabling, &s::cancelled, revoke_token}),
    with_etag({verb::post, "/tokens/{account}/{token}/rotate", "rotateToken", operator_, "Give it another secret; the old one works for a while", nullptr, &s::rotation, &s::rotated_token, rotate_token}),

    {verb::get,   "/jobs", "listJobs", viewer, "Jobs, the newest first", &s::job_query, nullptr, &s::jobs, list_jobs},
    {verb::get,   "/jobs/{job}", "getJob", viewer, "All of one job and its story: by its id, the beginning of that, or the upstream's id", nullptr, nullptr, &s::job, get_job},
    {verb::post,  "/jobs/{job}/cancel", "cancelJob", operator_, "End a job that waits to be submitted", nullptr, nullptr, &s::job_state, cancel_job},
    {verb::post,  "/jobs/{job}/release", "releaseJob", operator_, "Let a job be submitted that is held since a backup was restored", nullptr, nullptr, &s::job_state, release_job},
    {verb::post,  "/cancellations", "cancelJobs", operator_, "End all that wait, of an account, of a token, or of all", nullptr, &s::jobs_to_cancel, &s::cancelled, cancel_jobs},
    {verb::post,  "/releases", "releaseJobs", operator_, "Let all that are held be submitted", nullptr, nullptr, &s::released, release_jobs},
    {verb::get,   "/callbacks", "listCallbacks", viewer, "Jobs whose last callback was not delivered", &s::callback_query, nullptr, &s::callbacks, list_callbacks},
    {verb::post,  "/callbacks/{job}/retry", "retryCallback", operator_, "Send a job's callback now, or the last one once more", nullptr, nullptr, &s::job_state, retry_callback},

    {verb::get,   "/ledger", "listLedger", viewer, "Rows of the ledger, the newest first", &s::ledger_query, nullptr, &s::ledger, list_ledger},
    as(csv, {verb::get, "/usage", "getUsage", viewer, "How many jobs ended, what they cost and how long they took", &s::usage_query, nullptr, &s::usage, get_usage}),

    {verb::get,   "/upstreams", "listUpstreams", viewer, "What the relay knows of each key: state, jobs, limits, the last problem", nullptr, nullptr, &s::upstreams, list_upstreams},
    {verb::post,  "/upstreams/{upstream}/pause", "pauseUpstream", operator_, "No more jobs go there until it is resumed, also after a restart", nullptr, &s::key_of_upstream, &s::upstream_mode, pause_upstream},
    {verb::post,  "/upstreams/{upstream}/resume", "resumeUpstream", operator_, "Jobs go there again", nullptr, &s::key_of_upstream, &s::upstream_mode, resume_upstream},
    {verb::post,  "/upstreams/{upstream}/drain", "drainUpstream", operator_, "No new jobs go there; those accepted before still may", nullptr, &s::key_of_upstream, &s::upstream_mode, drain_upstream},

    {verb::get,   "/configuration", "getConfiguration", viewer, "The configuration in force, without its secrets", nullptr, nullptr, &s::configuration, get_configuration},
    {verb::get,   "/health", "getHealth", viewer, "How the relay is, part by part", nullptr, nullptr, &s::health, get_health},
    {verb::post,  "/reload", "reload", owner, "Read the configuration again", nullptr, nullptr, &s::reloaded, reload},
    beside_changes(as(database, {verb::post, "/backup", "backUp", owner, "A checked copy of the database, to be kept", nullptr, nullptr, nullptr, back_up})),
    {verb::get,   "/audit", "listAudit", owner, "Who changed what, the newest first", &s::page, nullptr, &s::audit, list_audit},
    {verb::get,   "/admin-tokens", "listAdminTokens", owner, "All tokens of this API, never their text", nullptr, nullptr, &s::admin_tokens, list_admin_tokens},
    by_socket(created({verb::post, "/admin-tokens", "createAdminToken", owner, "Make a token of this API, by the Unix socket alone; its text is shown this once", nullptr, &s::new_admin_token, &s::made_admin_token, create_admin_token})),
    {verb::post,  "/admin-tokens/{name}/revoke", "revokeAdminToken", owner, "End a token of this API at once", nullptr, nullptr, &s::admin_token, revoke_admin_token},
};
// clang-format on

}  // namespace

std::span<const admin_route> admin_route_table() {
  return rows;
}

}  // namespace relay
