// What a reload changes while the relay runs: upstreams, their keys and limits, models, prices, limits of
// tokens, the log.

#include <spdlog/logger.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <map>

#include "config/fields.hpp"
#include "server/app.hpp"
#include "server/log.hpp"
#include "server/settings.hpp"

namespace relay {
namespace {

constexpr std::string_view reloaded_sections[] = {"limits", "models", "billing"};
constexpr std::string_view reloaded_keys[] = {"log.level", "log.file", "log.access", "log.access_sample"};

// Secrets are all printed alike.
bool is_same(const field_target& a, const field_target& b) {
  if (const auto* secret_a = std::get_if<secret*>(&a)) return **secret_a == *std::get<secret*>(b);
  return to_toml(a) == to_toml(b);
}

// Keys that are other than they were, and that only a start reads.
std::vector<std::string> need_a_restart(config& old, config& fresh) {
  std::vector<std::string> out;
  for (const field& f : fields()) {
    const std::string key = std::string(f.section) + "." + std::string(f.key);
    if (std::ranges::find(reloaded_sections, f.section) != std::end(reloaded_sections)) continue;
    const bool to_stdout = key == "log.file" && fresh.log.file.empty();
    if (std::ranges::find(reloaded_keys, key) != std::end(reloaded_keys) && !to_stdout) continue;
    if (!is_same(f.at(old), f.at(fresh))) out.push_back(key);
  }
  return out;
}

std::map<std::string, upstream_config> by_name(const config& c) {
  std::map<std::string, upstream_config> out;
  for (const upstream_config& u : c.upstreams) {
    for (upstream_config& one : one_for_each_key(u)) out.emplace(one.name, std::move(one));
  }
  return out;
}

template <class Owner>
bool is_other(std::vector<Owner>& old, std::vector<Owner>& fresh, std::span<const basic_field<Owner>> table) {
  return !std::ranges::equal(old, fresh, [table](Owner& a, Owner& b) {
    return std::ranges::all_of(
        table, [&](const basic_field<Owner>& f) { return to_toml(f.at(a)) == to_toml(f.at(b)); });
  });
}

// Which keys of an upstream's section are other; the values are not shown.
std::string changes_of(upstream_config& old, upstream_config& fresh) {
  std::string out;
  const auto add = [&out](std::string_view key) { out.append(out.empty() ? "" : ", ").append(key); };
  for (const upstream_field& f : upstream_fields()) {
    if (to_toml(f.at(old)) != to_toml(f.at(fresh))) add(f.key);
  }
  if (old.key != fresh.key) add("the key itself");
  if (old.proxy != fresh.proxy) add("proxy");
  if (is_other<price_config>(old.prices, fresh.prices, upstream_price_fields())) add("price");
  return out;
}

std::vector<std::string> changes_between(const config& old, const config& fresh) {
  std::vector<std::string> out;
  auto before = by_name(old);
  auto after = by_name(fresh);
  for (auto& [name, u] : after) {
    const auto known = before.find(name);
    if (known == before.end())
      out.push_back("upstream " + name + " is new");
    else if (const std::string what = changes_of(known->second, u); !what.empty())
      out.push_back("upstream " + name + " has other settings: " + what);
  }
  config then = old;
  config now = fresh;
  for (const field& f : fields()) {
    const bool is_reloaded =
        std::ranges::find(reloaded_sections, f.section) != std::end(reloaded_sections) ||
        (f.section == "log" && (f.key == "level" || (f.key == "file" && !now.log.file.empty())));
    if (is_reloaded && to_toml(f.at(then)) != to_toml(f.at(now)))
      out.push_back(std::string(f.section) + "." + std::string(f.key) + " is " + to_toml(f.at(now)));
  }
  if (is_other<price_config>(then.prices, now.prices, price_fields()))
    out.push_back("prices are others, for jobs from now on: " + std::to_string(now.prices.size()) +
                  " [[price]] sections");
  if (is_other<group_config>(then.groups, now.groups, group_fields()))
    out.push_back("groups are others: " + std::to_string(now.groups.size()) + " [[group]] sections");
  for (const auto& [name, u] : before) {
    if (!after.contains(name))
      out.push_back("upstream " + name + " gets no jobs any more, and is not polled");
  }
  return out;
}

}  // namespace

void app::reload() {
  asio::post(loop_.get_executor(), [this] {
    auto work = [](app& self) -> awaitable<> {
      const auto done = co_await self.reload_now();
      if (!done && self.reloading_) self.reload_again_ = true;  // what changed meanwhile is read too
    };
    spawn(work(*this));
  });
}

awaitable<result<std::vector<std::string>>> app::reload_now() {
  if (!serving_ || stopping_) {
    log_->warn("reload: not now, the relay {}", stopping_ ? "stops" : "starts; send it SIGHUP again");
    co_return fail(errc::upstream_unavailable, "the relay starts or stops");
  }
  if (reloading_) co_return fail(errc::conflict, "a reload is under way; try again");
  if (!parts_.read_config) co_return fail(errc::conflict, "this relay has no configuration to read again");
  reloading_ = true;
  // 1. All that can be wrong, before anything is changed.
  loaded_config fresh = parts_.read_config();
  std::string wrong;
  for (const config_problem& p : fresh.problems) wrong += (wrong.empty() ? "" : "; ") + to_string(p);
  result<std::vector<std::string>> out =
      fail(errc::conflict, "the new configuration is wrong, and the old one stays: " + wrong);
  try {
    if (wrong.empty()) out = co_await use_config(std::move(fresh.value));
  } catch (const std::exception& e) {
    out = fail(errc::internal, std::string("it ended by an exception: ") + e.what());
  }
  reloading_ = false;
  if (std::exchange(reload_again_, false)) reload();
  if (!out) {
    log_->error("reload: {}", out.error().log.text);
    co_return out;
  }
  log_->info("reload: the configuration was read, {} changes", out->size());
  for (const std::string& line : *out) log_->warn("reload: {}", line);
  if (!out->empty()) warn_about_upstreams();
  co_return out;
}

awaitable<result<std::vector<std::string>>> app::use_config(config fresh) {
  std::vector<std::string> late;
  for (const std::string& key : need_a_restart(config_, fresh)) late.push_back(key + " needs a restart");
  fresh.server = config_.server;  // of which the upstreams are told some
  auto plan = upstreams_.prepare(fresh, parts_.names);
  if (!plan)
    co_return fail(plan.error().code,
                   "the new configuration cannot be used, and the old one stays: " + plan.error().log.text);
  std::vector<std::string> unknown;
  for (const planned_upstream& p : *plan) {
    if (upstreams_.find(p.settings.name) == nullptr) unknown.push_back(p.settings.name);
  }
  const auto facts = co_await dispatcher_->read_facts(unknown);
  if (!facts) co_return std::unexpected(facts.error());
  if (auto opened = reopen_log(*log_, fresh.log.file); !opened) co_return std::unexpected(opened.error());
  if (auto opened = access_log_.use(fresh.log); !opened) co_return std::unexpected(opened.error());
  // 2. From here on nothing fails, and nothing waits.
  std::vector<std::string> changes = changes_between(config_, fresh);
  changes.insert(changes.end(), late.begin(), late.end());
  const std::vector<std::size_t> places = upstreams_.take_over(*plan);
  dispatcher_->use(*plan, places, *facts);
  poller_->use_upstreams();
  config_.upstreams = std::move(fresh.upstreams);
  config_.models = std::move(fresh.models);
  config_.limits = fresh.limits;
  config_.billing = std::move(fresh.billing);
  config_.prices = std::move(fresh.prices);
  config_.groups = std::move(fresh.groups);
  billing_.use(config_);
  config_.log = std::move(fresh.log);
  log_->set_level(spdlog::level::from_str(config_.log.level));
  co_return changes;
}

}  // namespace relay
