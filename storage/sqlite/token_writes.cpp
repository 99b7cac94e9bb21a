// Tokens: made, revoked, given a new secret.

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

std::span<const unsigned char> bytes_of(const secret& s) {
  return {reinterpret_cast<const unsigned char*>(s.reveal().data()), s.reveal().size()};
}

class token_insert final : public write_of<token> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    const use guard(s_.insert_token);
    s_.insert_token.bind(1, value_.name)
        .bind(2, value_.digest)
        .bind(3, value_.hint)
        .bind(4, to_column(value_.created_at))
        .bind(5, bytes_of(value_.webhook));
    auto ok = run(s_.insert_token);
    if (!ok && ok.error().code == errc::conflict) {
      return fail(errc::conflict, "there is a token named \"" + value_.name +
                                      "\" already; revoke it first, or choose another name");
    }
    value_.id = s_.connection.last_row();
    return ok;
  }
};

// Finds the token in force with a name.
result<token> token_named(write_statements& s, const std::string& name) {
  const use guard(s.find_token);
  s.find_token.bind(1, name);
  const auto row = s.find_token.step();
  if (!row) return std::unexpected(row.error());
  if (!*row)
    return fail(errc::task_not_found,
                "there is no token named \"" + name + "\"; `luma-relay token list` shows them");
  return read_token(s.find_token);
}

class token_revoke final : public write_of<token> {
 public:
  token_revoke(write_statements& s, std::string name, timestamp now, completion<token> done)
      : write_of(s, {}, std::move(done)), name_(std::move(name)), now_(now) {}
  result<void> apply() override {
    auto found = token_named(s_, name_);
    if (!found) return std::unexpected(std::move(found.error()));
    value_ = std::move(*found);
    const use guard(s_.revoke_token);
    s_.revoke_token.bind(1, value_.id).bind(2, to_column(now_));
    value_.revoked_at = now_;
    return run(s_.revoke_token);
  }

 private:
  std::string name_;
  timestamp now_;
};

class token_rotation final : public write_of<token> {
 public:
  token_rotation(write_statements& s, std::string name, new_secret with, completion<token> done)
      : write_of(s, {}, std::move(done)), name_(std::move(name)), with_(std::move(with)) {}
  result<void> apply() override {
    auto found = token_named(s_, name_);
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
  std::string name_;
  new_secret with_;
};

class webhook_secret_set final : public write_of<token> {
 public:
  webhook_secret_set(write_statements& s, std::string name, secret bytes, completion<token> done)
      : write_of(s, {}, std::move(done)), name_(std::move(name)), bytes_(std::move(bytes)) {}
  result<void> apply() override {
    auto found = token_named(s_, name_);
    if (!found) return std::unexpected(std::move(found.error()));
    value_ = std::move(*found);
    value_.webhook = bytes_;
    const use guard(s_.set_webhook);
    s_.set_webhook.bind(1, value_.id).bind(2, bytes_of(bytes_));
    return run(s_.set_webhook);
  }

 private:
  std::string name_;
  secret bytes_;
};

}  // namespace

std::unique_ptr<write> write_new_token(write_statements& s, token t, completion<token> done) {
  return std::make_unique<token_insert>(s, std::move(t), std::move(done));
}

std::unique_ptr<write> write_revocation(write_statements& s, std::string name, timestamp now,
                                        completion<token> done) {
  return std::make_unique<token_revoke>(s, std::move(name), now, std::move(done));
}

std::unique_ptr<write> write_rotation(write_statements& s, std::string name, new_secret with,
                                      completion<token> done) {
  return std::make_unique<token_rotation>(s, std::move(name), std::move(with), std::move(done));
}

std::unique_ptr<write> write_webhook_secret(write_statements& s, std::string name, secret bytes,
                                            completion<token> done) {
  return std::make_unique<webhook_secret_set>(s, std::move(name), std::move(bytes), std::move(done));
}

}  // namespace relay::sqlite
