#include "server/billing.hpp"

#include <algorithm>

#include "common/base/text.hpp"

#include "server/upstream/upstreams.hpp"

namespace relay {

void billing::use(const config& c) {
  prices_ = rules_of(c.prices);
  groups_ = c.groups;
  names_ = c.models.names;
  currency_ = c.billing.currency;
  refuses_unpriced_ = c.billing.unpriced == "refuse";
  charges_late_ = c.billing.late_jobs == "charge";
}

bool billing::knows_group(std::string_view name) const {
  return name.empty() || std::ranges::find(groups_, name, &group_config::name) != groups_.end();
}

result<money> billing::price_for(const json::object& request, const action& a, std::string_view group) const {
  if (!has_prices()) return money{};
  const job_traits job = traits_of(request, a, names_);
  const auto price = price_of(prices_, a, job);
  if (price) {
    const auto of = std::ranges::find(groups_, group, &group_config::name);
    return of == groups_.end() ? *price : scaled(*price, of->factor.millionths, millionths_of_unit);
  }
  if (!refuses_unpriced_) return money{};
  const auto or_none = [](const std::string& text) { return text.empty() ? std::string("none") : text; };
  return fail(errc::invalid_request,
              "This relay has no price for such a job (kind " + std::string(a.name) + ", model " +
                  or_none(job.model) + ", resolution " + or_none(job.resolution) + ", duration " +
                  or_none(job.duration) +
                  "); nothing was submitted. Name another model, resolution or duration");
}

// By the model that its upstream was asked for.
money billing::cost_of(const task& t, job_traits job) const {
  const upstream* at = upstreams_ != nullptr ? upstreams_->find(t.upstream) : nullptr;
  if (at == nullptr || at->settings().prices.empty()) return {};
  const auto with = at->sends_with();
  if (std::string model = at->speaks().model_of(t, *with); !model.empty()) job.model = std::move(model);
  return price_of(rules_of(at->settings().prices), *t.action, job).value_or(money{});
}

// What a client calls a model is kept for good, and is any text: of jobs that no upstream accepted, only
// names that the configuration knows are told apart.
std::string billing::counted_model(const task& t, std::string model) const {
  constexpr std::size_t longest = 64;
  const auto is_named = [&model](const auto& pair) { return pair.second == model; };
  const auto is_priced = [&model](const price_rule& r) { return r.model == model; };
  const bool is_known = t.state == task_state::completed || !t.upstream_id.empty() ||
                        std::ranges::any_of(names_.aliases, is_named) ||
                        std::ranges::any_of(names_.defaults, is_named) ||
                        std::ranges::any_of(prices_, is_priced);
  if (!is_known && !model.empty()) return "other";
  return std::string(cut(model, longest));
}

std::unique_ptr<const booking> billing::booking_of(const task* before, const task& after,
                                                   std::string_view request_id) const {
  if (!calls_for_booking(before, after)) return nullptr;
  job_traits job;
  booking_facts facts;
  facts.charges_late = charges_late_;
  if (is_terminal(after.state)) {
    job = traits_of(after.request, *after.action, names_);
    if (after.state == task_state::completed) facts.cost = cost_of(after, job);
  }
  const std::string model = counted_model(after, std::move(job.model));
  facts.model = model;
  auto out = std::make_unique<booking>(relay::booking_of(before, after, facts));
  if (out->ledger) out->ledger->request_id = request_id;
  if (out->empty()) return nullptr;
  return out;
}

}  // namespace relay
