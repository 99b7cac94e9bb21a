// Accounts and their tokens: made, changed, revoked.

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

std::span<const unsigned char> bytes_of(const secret& s) {
  return {reinterpret_cast<const unsigned char*>(s.reveal().data()), s.reveal().size()};
}

int bind_limits(statement& s, int i, const own_limits& l) {
  for (const limit_name& one : limit_names) s.bind(i++, l.*one.of);
  return i;
}

class account_write final : public write_of<account> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    auto ok = is_new_ ? insert() : update();
    if (!ok && ok.error().code == errc::conflict && !is_stale_)
      return fail(errc::conflict, "there is an account named \"" + value_.name + "\" already");
    return ok;
  }

 private:
  // All that can be changed, from a parameter on; the next one.
  int bind_values(statement& s, int i) {
    actions_ = words_in_column(value_.actions);
    models_ = words_in_column(value_.models);
    s.bind(i++, value_.name)
        .bind(i++, value_.note)
        .bind(i++, value_.contact)
        .bind(i++, std::int64_t{value_.enabled})
        .bind(i++, bytes_of(value_.webhook))
        .bind(i++, std::int64_t{value_.weight})
        .bind(i++, actions_)
        .bind(i++, std::int64_t{value_.prepaid})
        .bind(i++, value_.group)
        .bind(i++, models_);
    return bind_limits(s, i, value_.limits);
  }

  result<void> insert() {
    statement& s = s_.insert_account;
    const use guard(s);
    s.bind(bind_values(s, 1), to_column(value_.created_at));
    auto ok = run(s);
    if (ok) value_.id = s_.connection.last_row();
    return ok;
  }

  result<void> update() {
    statement& s = s_.update_account;
    const use guard(s);
    s.bind(1, value_.id).bind(2, value_.revision);
    bind_values(s, 3);
    if (auto ok = run(s); !ok || s_.connection.changes() == 1) return ok;
    const use other(s_.find_account);
    s_.find_account.bind(1, value_.id);
    const auto row = s_.find_account.step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(errc::task_not_found, "there is no account " + std::to_string(value_.id));
    is_stale_ = true;
    return fail(errc::conflict,
                "the account \"" + value_.name + "\" was changed meanwhile; look at it and try again");
  }

  void committed() override { ++value_.revision; }

  const bool is_new_ = value_.id == 0;  // also when it is applied once more
  bool is_stale_ = false;
  std::string actions_, models_;  // outlive the step
};

class token_insert final : public write_of<token> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    const std::string addresses = words_in_column(value_.addresses);
    const use guard(s_.insert_token);
    s_.insert_token.bind(1, value_.account)
        .bind(2, value_.name)
        .bind(3, value_.digest)
        .bind(4, value_.hint)
        .bind(5, to_column(value_.created_at))
        .bind(6, to_column(value_.expires_at))
        .bind(7, addresses);
    bind_limits(s_.insert_token, 8, value_.limits);
    auto ok = run(s_.insert_token);
    if (!ok && ok.error().code == errc::conflict) {
      return fail(errc::conflict, "there is a token named \"" + value_.name +
                                      "\" already; revoke it first, or choose another name");
    }
    value_.id = s_.connection.last_row();
    return ok;
  }
};

// One that is not revoked.
result<token> token_of(write_statements& s, std::int64_t id) {
  const use guard(s.find_token);
  s.find_token.bind(1, id);
  const auto row = s.find_token.step();
  if (!row) return std::unexpected(row.error());
  if (!*row)
    return fail(errc::task_not_found,
                "there is no such token, or it is revoked; `luma-relay token list` shows them");
  return read_token(s.find_token);
}

class token_revoke final : public write_of<token> {
 public:
  token_revoke(write_statements& s, std::int64_t id, timestamp now, completion<token> done)
      : write_of(s, {}, std::move(done)), id_(id), now_(now) {}
  result<void> apply() override {
    auto found = token_of(s_, id_);
    if (!found) return std::unexpected(std::move(found.error()));
    value_ = std::move(*found);
    const use guard(s_.revoke_token);
    s_.revoke_token.bind(1, value_.id).bind(2, to_column(now_));
    value_.revoked_at = now_;
    return run(s_.revoke_token);
  }

 private:
  std::int64_t id_;
  timestamp now_;
};

// What can be changed of one without another secret.
class token_change final : public write_of<token> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    auto found = token_of(s_, value_.id);
    if (!found) return std::unexpected(std::move(found.error()));
    found->name = value_.name;
    found->expires_at = value_.expires_at;
    found->addresses = value_.addresses;
    found->limits = value_.limits;
    value_ = std::move(*found);
    const std::string addresses = words_in_column(value_.addresses);
    const use guard(s_.change_token);
    s_.change_token.bind(1, value_.id)
        .bind(2, value_.name)
        .bind(3, to_column(value_.expires_at))
        .bind(4, addresses);
    bind_limits(s_.change_token, 5, value_.limits);
    auto ok = run(s_.change_token);
    if (!ok && ok.error().code == errc::conflict)
      return fail(errc::conflict, "there is a token named \"" + value_.name + "\" already");
    return ok;
  }
};

class use_note final : public write_of<std::int64_t> {
 public:
  use_note(write_statements& s, std::vector<std::int64_t> ids, std::int32_t day,
           completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), ids_(std::move(ids)), day_(day) {}
  result<void> apply() override {
    for (const std::int64_t id : ids_) {
      const use guard(s_.note_use);
      s_.note_use.bind(1, id).bind(2, std::int64_t{day_});
      if (auto done = run(s_.note_use); !done) return done;
    }
    value_ = std::ssize(ids_);
    return {};
  }

 private:
  const std::vector<std::int64_t> ids_;
  const std::int32_t day_;
};

class token_rotation final : public write_of<token> {
 public:
  token_rotation(write_statements& s, std::int64_t id, new_secret with, completion<token> done)
      : write_of(s, {}, std::move(done)), id_(id), with_(std::move(with)) {}
  result<void> apply() override {
    auto found = token_of(s_, id_);
    if (!found) return std::unexpected(std::move(found.error()));
    value_ = std::move(*found);
    value_.old_digest = value_.digest;
    value_.old_ends_at = with_.old_ends_at;
    value_.digest = with_.digest;
    value_.hint = with_.hint;
    const use guard(s_.rotate_token);
    s_.rotate_token.bind(1, value_.id)
        .bind(2, value_.digest)
        .bind(3, value_.hint)
        .bind(4, value_.old_digest)
        .bind(5, to_column(value_.old_ends_at));
    return run(s_.rotate_token);
  }

 private:
  std::int64_t id_;
  new_secret with_;
};

}  // namespace

std::unique_ptr<write> write_account(write_statements& s, account a, completion<account> done) {
  return std::make_unique<account_write>(s, std::move(a), std::move(done));
}

std::unique_ptr<write> write_new_token(write_statements& s, token t, completion<token> done) {
  return std::make_unique<token_insert>(s, std::move(t), std::move(done));
}

std::unique_ptr<write> write_token(write_statements& s, token t, completion<token> done) {
  return std::make_unique<token_change>(s, std::move(t), std::move(done));
}

std::unique_ptr<write> write_use(write_statements& s, std::vector<std::int64_t> ids, std::int32_t day,
                                 completion<std::int64_t> done) {
  return std::make_unique<use_note>(s, std::move(ids), day, std::move(done));
}

std::unique_ptr<write> write_revocation(write_statements& s, std::int64_t id, timestamp now,
                                        completion<token> done) {
  return std::make_unique<token_revoke>(s, id, now, std::move(done));
}

std::unique_ptr<write> write_rotation(write_statements& s, std::int64_t id, new_secret with,
                                      completion<token> done) {
  return std::make_unique<token_rotation>(s, id, std::move(with), std::move(done));
}

}  // namespace relay::sqlite
