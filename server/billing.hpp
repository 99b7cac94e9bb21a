#pragma once

// Prices as they are configured, and what a change of a task means by them. Loop thread.

#include <memory>
#include <string_view>
#include <vector>

#include "common/engine/account.hpp"
#include "common/engine/ledger.hpp"
#include "common/engine/price.hpp"
#include "config/config.hpp"

namespace relay {

class upstreams;

class billing {
 public:
  /// `all`: whose tables of costs count; null: no relay runs, and nothing is completed.
  explicit billing(const config& c, const upstreams* all = nullptr) : upstreams_(all) { use(c); }

  /// From now on. Jobs keep the price that they were taken at.
  void use(const config& c);

  /// False: everything is free, and no price is looked up.
  bool has_prices() const { return !prices_.empty(); }
  /// A group of the configuration, or none at all.
  bool knows_group(std::string_view name) const;

  /// The words that a job's price depends on, as upstreams without names of their own would read them.
  job_traits traits(const json::object& request, const action& a) const {
    return traits_of(request, a, names_);
  }
  /// So that it is made with the model that it is priced and allowed for.
  void settle_model(json::object& request, const action& a) const {
    if (a.settle_model != nullptr) a.settle_model(request, a, names_);
  }
  /// What an account of this group pays for a request, in its official field names. Errors: invalid_request
  /// when there is no price for it, and such jobs are refused.
  result<money> price_for(const json::object& request, const action& a, std::string_view group) const;
  const std::string& currency() const { return currency_; }

  /// What is written with the change; null: nothing. `request_id`: of the create.
  std::unique_ptr<const booking> booking_of(const task* before, const task& after,
                                            std::string_view request_id = {}) const;

 private:
  money cost_of(const task& t, job_traits job) const;
  std::string counted_model(const task& t, std::string model) const;

  const upstreams* upstreams_;
  std::vector<price_rule> prices_;
  std::vector<group_config> groups_;
  model_names names_;
  std::string currency_;
  bool refuses_unpriced_ = false;
  bool charges_late_ = true;
};

}  // namespace relay
