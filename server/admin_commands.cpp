#include "server/admin_commands.hpp"

#include "server/admin_accounts.hpp"
#include "server/admin_money.hpp"
#include "server/admin_reply.hpp"
#include "server/admin_tasks.hpp"
#include "server/admin_upstreams.hpp"

namespace relay {
namespace {

std::int64_t number_of(const json::object& o, std::string_view key) {
  const json::value* v = member(o, key);
  return v != nullptr && v->is_int64() ? v->get_int64() : 0;
}
bool flag_of(const json::object& o, std::string_view key) {
  const json::value* v = member(o, key);
  return v != nullptr && v->is_bool() && v->get_bool();
}

bool is_about_money(std::string_view command) {
  return command == "account-topup" || command == "account-adjust" || command == "ledger-list" ||
         command == "usage";
}

awaitable<json::object> run_money_command(admin_context in, std::string command, json::object o) {
  if (command == "account-topup") co_return co_await change_balance(in, ledger_kind::topup, std::move(o));
  if (command == "account-adjust") co_return co_await change_balance(in, ledger_kind::adjust, std::move(o));
  if (command == "ledger-list") co_return co_await list_ledger(in, std::move(o));
  co_return co_await show_usage(in, std::move(o));
}

json::object unknown(std::string_view command) {
  return failure("the server does not know the command \"" + std::string(command) +
                 "\"; it may be another version");
}

awaitable<json::object> run_token_command(admin_context in, std::string command, json::object o) {
  const std::string name(text_of(o, "name"));
  const std::string account(text_of(o, "account"));
  if (command == "token-list") co_return co_await list_tokens(in, account);
  if (command == "token-create") {
    const auto plan = token_plan_from(o);
    if (!plan) co_return failure(plan.error().log.text);
    co_return co_await create_token(in, *plan);
  }
  if (command == "token-set") {
    const auto changes = token_changes_from(o);
    if (!changes) co_return failure(changes.error().log.text);
    co_return co_await change_token(in, name, *changes);
  }
  if (command == "token-revoke") co_return co_await revoke_token(in, name, flag_of(o, "keep_pending"));
  if (command == "token-rotate")
    co_return co_await rotate_token(in, name, std::chrono::seconds(number_of(o, "grace_s")));
  co_return unknown(command);
}

}  // namespace

awaitable<json::object> run_admin_command(admin_context in, json::value request) {
  const json::object none;
  const json::object& o = request.is_object() ? request.get_object() : none;
  const std::string command(text_of(o, "command"));
  const std::string id(text_of(o, "id"));
  const std::string name(text_of(o, "name"));
  const bool keep_pending = flag_of(o, "keep_pending");
  if (command == "account-create" || command == "account-set") {
    const auto changes = account_changes_from(o);
    if (!changes) co_return failure(changes.error().log.text);
    co_return command == "account-set" ? co_await change_account(in, name, *changes)
                                       : co_await create_account(in, name, *changes);
  }
  if (command == "account-list") co_return co_await list_accounts(in);
  if (command == "account-show") co_return co_await show_account(in, name);
  if (command == "account-enable") co_return co_await enable_account(in, name);
  if (command == "account-disable") co_return co_await disable_account(in, name, keep_pending);
  if (command == "webhook-secret") co_return co_await webhook_secret(in, name, flag_of(o, "rotate"));
  if (is_about_money(command)) co_return co_await run_money_command(in, command, o);
  if (command.starts_with("token-")) co_return co_await run_token_command(in, command, o);
  if (command == "task-list") co_return co_await list_tasks(in, o);
  if (command == "task-cancel-all-pending") co_return co_await cancel_all_pending(in, o);
  if (command == "task-release-all") co_return co_await release_all(in);
  if (command == "upstream-list") co_return list_upstreams(in);
  if (command == "upstream-pause") co_return co_await set_upstream_mode(in, name, lane_mode::paused);
  if (command == "upstream-resume") co_return co_await set_upstream_mode(in, name, lane_mode::open);
  if (command == "upstream-drain") co_return co_await set_upstream_mode(in, name, lane_mode::draining);
  if (command == "reload") co_return co_await reload(in);
  if (command == "task-show" || command == "task-release" || command == "task-cancel-pending" ||
      command == "task-retry-callback")
    co_return co_await with_task(in, command, id);
  co_return unknown(command);
}

}  // namespace relay
