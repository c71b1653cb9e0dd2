/*
 * spi.h: SPI around a piece of work. An error ends the transaction, and SPI with it.
 */
#pragma once

#include <type_traits>

#include "dadbs/pg/boundary.h"

extern "C" {
#include "executor/spi.h"
}

namespace dadbs::pg {

// What `body` gives; what it made with palloc is gone, but for what it put into another context.
template <class F>
auto WithSpi(F&& body) {
  Call([] {
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  });
  if constexpr (std::is_void_v<decltype(body())>) {
    body();
    Call([] { SPI_finish(); });
  } else {
    auto result = body();
    Call([] { SPI_finish(); });
    return result;
  }
}

}  // namespace dadbs::pg
