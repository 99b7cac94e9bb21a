#pragma once

// What a job costs, by a table of an operator's. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"
#include "common/base/money.hpp"
#include "common/base/time.hpp"
#include "common/engine/action.hpp"
#include "common/engine/model_names.hpp"

namespace relay {

/// What of a job its price depends on, beside its kind. Empty: the request does not say.
struct job_traits {
  std::string model;  // the own name of the one it asks for, or gets when it names none
  std::string resolution;
  std::string duration;                // as duration_word() says it
  std::optional<milliseconds> length;  // the same as a time; nullopt: it is not known

  friend bool operator==(const job_traits&, const job_traits&) = default;
};

/// Of a stored request. An action that says nothing of them has none.
job_traits traits_of(const json::object& request, const action& a, const model_names& names);
/// Of its text; what is no object has none.
job_traits traits_of(std::string_view request, const action& a, const model_names& names);

/// "5s", "5", "2.5s", "500ms": a time above 0, up to a day; nullopt: it is none.
std::optional<milliseconds> length_of(std::string_view duration);

/// One word for each length: "5s" for "5" too, "2500ms" for "2.5s". What is no length stays as it is.
std::string duration_word(std::string_view duration);

/// A row of the table. Words may hold "*", which stands for any characters, none too.
struct price_rule {
  std::string action = "*", model = "*", resolution = "*", duration = "*";
  money price;
  bool per_second = false;  // else for the job

  bool applies_to(const relay::action& a, const job_traits& job) const;
};

/// The price by the first row that applies; nullopt: none does, or it is by the second and the length is not
/// known.
std::optional<money> price_of(const std::vector<price_rule>& table, const action& a, const job_traits& job);

/// True if the word is as the pattern, in which each "*" stands for any characters.
bool matches(std::string_view pattern, std::string_view word);

}  // namespace relay
