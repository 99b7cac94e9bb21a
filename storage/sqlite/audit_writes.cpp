// Who changed what, in the transactions of the changes; and the tokens of those who may.

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

result<void> insert(write_statements& s, const audit_entry& e) {
  const use guard(s.insert_audit);
  s.insert_audit.bind(1, e.made_by)
      .bind(2, e.operation)
      .bind(3, e.target)
      .bind(4, e.before)
      .bind(5, e.after)
      .bind(6, e.request_id)
      .bind(7, e.idempotency_key)
      .bind(8, e.request)
      .bind(9, to_column(e.at));
  auto done = run(s.insert_audit);
  if (!done && done.error().code == errc::conflict)
    return fail(errc::internal, "a request of " + e.made_by + " with this idempotency key was carried out");
  return done;
}

class audited_write final : public write {
 public:
  audited_write(write_statements& s, audit_ptr why, std::unique_ptr<write> change)
      : s_(s), why_(std::move(why)), change_(std::move(change)) {}
  result<void> apply() override {
    auto done = change_->apply();
    return done ? insert(s_, *why_) : std::move(done);
  }
  std::size_t bytes() const override {
    return change_->bytes() + sizeof(*this) + why_->before.size() + why_->after.size();
  }
  void finish(result<void> outcome) override { change_->finish(std::move(outcome)); }

 private:
  write_statements& s_;
  const audit_ptr why_;
  const std::unique_ptr<write> change_;
};

class audit_write final : public write_of<std::int64_t> {
 public:
  audit_write(write_statements& s, audit_ptr why, completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), why_(std::move(why)) {}
  result<void> apply() override {
    auto done = insert(s_, *why_);
    if (done) value_ = s_.connection.last_row();
    return done;
  }

 private:
  const audit_ptr why_;
};

class response_write final : public write_of<std::int64_t> {
 public:
  response_write(write_statements& s, std::string made_by, std::string key, kept_response what,
                 completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)),
        made_by_(std::move(made_by)),
        key_(std::move(key)),
        what_(std::move(what)) {}
  result<void> apply() override {
    const use guard(s_.keep_response);
    s_.keep_response.bind(1, made_by_).bind(2, key_).bind(3, what_.status);
    s_.keep_response.bind(4, what_.body).bind(5, what_.etag).bind(6, what_.location);
    auto done = run(s_.keep_response);
    if (done) value_ = s_.connection.changes();
    return done;
  }

 private:
  const std::string made_by_, key_;
  const kept_response what_;
};

class admin_token_insert final : public write_of<admin_token> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    const use guard(s_.insert_admin_token);
    s_.insert_admin_token.bind(1, value_.name)
        .bind(2, name_of(value_.role))
        .bind(3, value_.digest)
        .bind(4, value_.hint)
        .bind(5, to_column(value_.created_at))
        .bind(6, to_column(value_.expires_at));
    auto done = run(s_.insert_admin_token);
    if (!done && done.error().code == errc::conflict)
      return fail(errc::conflict, "there is an admin token named \"" + value_.name +
                                      "\" already; revoke it first, or choose another name");
    value_.id = s_.connection.last_row();
    return done;
  }
};

class admin_token_revocation final : public write_of<admin_token> {
 public:
  admin_token_revocation(write_statements& s, std::int64_t id, timestamp now, completion<admin_token> done)
      : write_of(s, {}, std::move(done)), id_(id), now_(now) {}
  result<void> apply() override {
    {
      const use guard(s_.find_admin_token);
      s_.find_admin_token.bind(1, id_);
      const auto row = s_.find_admin_token.step();
      if (!row) return std::unexpected(row.error());
      if (!*row) return fail(errc::task_not_found, "there is no such admin token, or it is revoked");
      value_ = read_admin_token(s_.find_admin_token);
    }
    value_.revoked_at = now_;
    const use guard(s_.revoke_admin_token);
    s_.revoke_admin_token.bind(1, id_).bind(2, to_column(now_));
    return run(s_.revoke_admin_token);
  }

 private:
  const std::int64_t id_;
  const timestamp now_;
};

}  // namespace

std::unique_ptr<write> with_audit(write_statements& s, audit_ptr why, std::unique_ptr<write> change) {
  if (!why) return change;
  return std::make_unique<audited_write>(s, std::move(why), std::move(change));
}

std::unique_ptr<write> write_audit(write_statements& s, audit_ptr why, completion<std::int64_t> done) {
  return std::make_unique<audit_write>(s, std::move(why), std::move(done));
}

std::unique_ptr<write> write_response(write_statements& s, std::string made_by, std::string key,
                                      kept_response what, completion<std::int64_t> done) {
  return std::make_unique<response_write>(s, std::move(made_by), std::move(key), std::move(what),
                                          std::move(done));
}

std::unique_ptr<write> write_new_admin_token(write_statements& s, admin_token t,
                                             completion<admin_token> done) {
  return std::make_unique<admin_token_insert>(s, std::move(t), std::move(done));
}

std::unique_ptr<write> write_admin_revocation(write_statements& s, std::int64_t id, timestamp now,
                                              completion<admin_token> done) {
  return std::make_unique<admin_token_revocation>(s, id, now, std::move(done));
}

}  // namespace relay::sqlite
