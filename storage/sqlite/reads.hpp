#pragma once

// The store's questions, each as one prepared statement.

#include "storage/sqlite/db.hpp"

namespace relay::sqlite {

/// Prepared once; loop thread only.
struct read_statements {
  explicit read_statements(db& d);

  statement find, list, load, browse, ambiguous, due_submit, due_reconcile, next_submit, next_reconcile,
      due_polls, next_poll, polled, due_callbacks, next_callback, in_state, count, count_ambiguous,
      count_overdue, count_owed, open_at, holds, claimed, repeated, tokens, token_by_id;
};

}  // namespace relay::sqlite
