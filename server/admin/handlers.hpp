#pragma once

// The operations of the admin API, one function each; admin_routes.cpp says what each takes and returns.

#include "server/admin/admin_route.hpp"

namespace relay::admin {

/// The account of the path, as the client saw it last. Errors: not_found, 412.
awaitable<result<account>> account_of(admin_call& c);

awaitable<admin_result> who_am_i(admin_call& c);

awaitable<admin_result> list_accounts(admin_call& c);
awaitable<admin_result> create_account(admin_call& c);
awaitable<admin_result> get_account(admin_call& c);
awaitable<admin_result> change_account(admin_call& c);
awaitable<admin_result> enable_account(admin_call& c);
/// Its tokens are refused from now on, and what it has not submitted is cancelled unless `keep_pending`.
awaitable<admin_result> disable_account(admin_call& c);
awaitable<admin_result> get_webhook_secret(admin_call& c);
awaitable<admin_result> rotate_webhook_secret(admin_call& c);
awaitable<admin_result> top_up_account(admin_call& c);
awaitable<admin_result> adjust_account(admin_call& c);

awaitable<admin_result> list_tokens(admin_call& c);
awaitable<admin_result> create_token(admin_call& c);
awaitable<admin_result> get_token(admin_call& c);
awaitable<admin_result> change_token(admin_call& c);
/// Requests with it are refused from now on, and what was created with it and not submitted is cancelled
/// unless `keep_pending`.
awaitable<admin_result> revoke_token(admin_call& c);
/// Another secret for the same token; the old one works for `grace_s`.
awaitable<admin_result> rotate_token(admin_call& c);

awaitable<admin_result> list_jobs(admin_call& c);
awaitable<admin_result> get_job(admin_call& c);
awaitable<admin_result> cancel_job(admin_call& c);
awaitable<admin_result> release_job(admin_call& c);
awaitable<admin_result> cancel_jobs(admin_call& c);
awaitable<admin_result> release_jobs(admin_call& c);
awaitable<admin_result> list_callbacks(admin_call& c);
awaitable<admin_result> retry_callback(admin_call& c);

awaitable<admin_result> list_ledger(admin_call& c);
awaitable<admin_result> get_usage(admin_call& c);

awaitable<admin_result> list_upstreams(admin_call& c);
awaitable<admin_result> pause_upstream(admin_call& c);
awaitable<admin_result> resume_upstream(admin_call& c);
awaitable<admin_result> drain_upstream(admin_call& c);

awaitable<admin_result> get_configuration(admin_call& c);
awaitable<admin_result> get_health(admin_call& c);
awaitable<admin_result> reload(admin_call& c);
awaitable<admin_result> back_up(admin_call& c);
/// Of copies that were being made when a process ended.
void remove_unfinished_copies(const std::string& database);
awaitable<admin_result> list_audit(admin_call& c);
awaitable<admin_result> list_admin_tokens(admin_call& c);
awaitable<admin_result> create_admin_token(admin_call& c);
awaitable<admin_result> revoke_admin_token(admin_call& c);

}  // namespace relay::admin
