// libfuzzer.cpp: libFuzzer's entry points for a target.
#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz_target.h"

namespace fs = std::filesystem;
namespace fuzz = dadbs::core::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::TryInput({data, size});
  return 0;
}

// The corpus directory is the first argument that is no option.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; i++) {
    const fs::path directory = (*argv)[i];
    if ((*argv)[i][0] == '-') continue;
    if (!fs::is_directory(directory) || !fs::is_empty(directory)) break;
    size_t number = 0;
    for (const dadbs::core::Bytes& seed : fuzz::Seeds())
      std::ofstream(directory / ("seed" + std::to_string(number++)), std::ios::binary)
          .write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
    break;
  }
  return 0;
}
