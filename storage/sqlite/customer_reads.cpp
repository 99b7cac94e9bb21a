// Reads of accounts, tokens and admin tokens, and of what operators did with them.

#include <algorithm>

#include "storage/sqlite/reads.hpp"
#include "storage/sqlite/rows.hpp"

namespace relay::sqlite {

void reads::prepare_customers() {
  const auto prepare = [this](const std::string& sql) { return connection_.prepare(sql.c_str()); };
  tokens_ = prepare(select_tokens("ORDER BY id"));
  admin_tokens_ = prepare(select_admin_tokens("ORDER BY id"));
  audit_ = prepare(
      "SELECT id,made_by,operation,target,before,after,request_id,idempotency_key,created_at FROM audit "
      "WHERE id<?1 ORDER BY id DESC LIMIT ?2");
  carried_out_ = prepare(
      "SELECT audit.id,request,operation,target,request_id,coalesce(status,0),coalesce(body,''),"
      "coalesce(etag,''),coalesce(location,'') FROM audit LEFT JOIN "
      "admin_response ON audit.id=admin_response.audit WHERE made_by=?1 AND idempotency_key=?2 AND "
      "idempotency_key<>''");
  accounts_ = prepare(select_accounts("ORDER BY id"));
  account_by_id_ = prepare(select_accounts("WHERE id=?1"));
}

result<std::vector<token>> reads::tokens() {
  const use guard(tokens_);
  return all_rows(tokens_, read_token);
}

result<std::vector<admin_token>> reads::admin_tokens() {
  const use guard(admin_tokens_);
  return all_rows(admin_tokens_, read_admin_token);
}

result<std::vector<account>> reads::accounts() {
  const use guard(accounts_);
  return all_rows(accounts_, read_account);
}

result<std::optional<account>> reads::account_by_id(std::int64_t id) {
  const use guard(account_by_id_);
  account_by_id_.bind(1, id);
  return first_row(account_by_id_, read_account);
}

result<std::vector<audit_row>> reads::audit(std::int64_t before, std::int64_t limit) {
  const use guard(audit_);
  audit_.bind(1, before).bind(2, limit);
  return all_rows(audit_, [](const statement& row) {
    audit_entry e;
    e.made_by = row.text(1);
    e.operation = row.text(2);
    e.target = row.text(3);
    e.before = row.text(4);
    e.after = row.text(5);
    e.request_id = row.text(6);
    e.idempotency_key = row.text(7);
    e.at = from_column(row.integer(8));
    return audit_row{row.integer(0), std::move(e)};
  });
}

result<std::optional<carried_out>> reads::find_carried_out(const std::string& made_by,
                                                           const std::string& key) {
  const use guard(carried_out_);
  carried_out_.bind(1, made_by).bind(2, key);
  return first_row(carried_out_, [](const statement& row) {
    carried_out out;
    out.id = row.integer(0);
    const auto request = row.blob(1);
    if (request.size() == out.request.size()) std::ranges::copy(request, out.request.begin());
    out.operation = row.text(2);
    out.target = row.text(3);
    out.request_id = row.text(4);
    out.response.status = row.integer(5);
    out.response.body = row.text(6);
    out.response.etag = row.text(7);
    out.response.location = row.text(8);
    return out;
  });
}

}  // namespace relay::sqlite
