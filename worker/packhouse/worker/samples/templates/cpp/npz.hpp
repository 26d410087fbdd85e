// Reads archives of NumPy (.npz): weights or inputs that an engine took out of a model.
//
// Such an archive is a ZIP of .npy files; those of numpy.savez are stored, which is what is read here.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct NumpyArray {
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> shape;
  std::vector<char> data;  // row by row

  // A tensor that lies in the memory of this array, which must outlive it.
  Ort::Value on_own_memory() const {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
    return Ort::Value::CreateTensor(memory, const_cast<char*>(data.data()), data.size(), shape.data(), shape.size(), element);
  }
};

using NumpyArrays = std::map<std::string, NumpyArray>;

// Little-endian, as ZIP and .npy have it; throws where the text ends before.
inline uint64_t little(const std::string& text, std::size_t at, std::size_t bytes) {
  if (at > text.size() || text.size() - at < bytes) throw std::runtime_error("it ends too early");
  uint64_t value = 0;
  for (std::size_t byte = bytes; byte-- > 0;) value = value << 8 | static_cast<unsigned char>(text[at + byte]);
  return value;
}

// The value of a key in the header of an .npy file, which is a dict as Python writes it, up to the given end.
inline std::string header_value(const std::string& header, const std::string& key, const std::string& end) {
  const std::string start = "'" + key + "': ";
  const std::size_t from = header.find(start);
  const std::size_t to = from == std::string::npos ? from : header.find(end, from + start.size());
  if (to == std::string::npos) throw std::runtime_error("an array in it has no " + key);
  return header.substr(from + start.size(), to - from - start.size());
}

inline NumpyArray read_npy(const std::string& file) {
  static const std::map<std::string, std::pair<ONNXTensorElementDataType, std::size_t>> elements = {
      {"'<f4'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4}},   {"'<f8'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8}},
      {"'<f2'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2}}, {"'|i1'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1}},
      {"'<i2'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, 2}},   {"'<i4'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4}},
      {"'<i8'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8}},   {"'|u1'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1}},
      {"'<u2'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, 2}},  {"'<u4'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, 4}},
      {"'<u8'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, 8}},  {"'|b1'", {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1}}};
  if (file.compare(0, 6, "\x93NUMPY") != 0) throw std::runtime_error("what it holds is no array");
  const std::size_t width = little(file, 6, 1) == 1 ? 2 : 4;
  const std::size_t start = 8 + width, size = static_cast<std::size_t>(little(file, 8, width));
  if (file.size() - start < size) throw std::runtime_error("it ends too early");
  const std::string header = file.substr(start, size);

  NumpyArray array;
  const auto element = elements.find(header_value(header, "descr", ","));
  if (element == elements.end()) throw std::runtime_error("an array in it is of a type that is not read");
  array.element = element->second.first;
  const std::string shape = header_value(header, "shape", ")");
  std::size_t count = 1;
  for (std::size_t at = 1; at < shape.size();) {
    const std::size_t end = std::min(shape.find(',', at), shape.size());
    const std::string digits = shape.substr(at, end - at);
    if (digits.find_first_of("0123456789") != std::string::npos) {
      array.shape.push_back(std::stoll(digits));
      count *= static_cast<std::size_t>(array.shape.back());
    }
    at = end + 1;
  }
  const bool by_column = header_value(header, "fortran_order", ",") == "True" && array.shape.size() > 1;
  if (by_column) throw std::runtime_error("an array in it is stored by columns");
  array.data.assign(file.begin() + static_cast<std::ptrdiff_t>(start + size), file.end());
  if (array.data.size() != count * element->second.second) throw std::runtime_error("an array in it has not as many values as it says");
  return array;
}

// The arrays by their names. Throws std::runtime_error.
inline NumpyArrays read_npz(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("there is no such file");
  const std::string zip((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const std::size_t last = zip.rfind("PK\x05\x06");
  if (last == std::string::npos) throw std::runtime_error("it is no ZIP");
  std::size_t entry = static_cast<std::size_t>(little(zip, last + 16, 4));
  NumpyArrays arrays;
  for (uint64_t left = little(zip, last + 10, 2); left > 0; --left) {
    const uint64_t method = little(zip, entry + 10, 2), size = little(zip, entry + 24, 4);
    const std::size_t name_size = little(zip, entry + 28, 2), extra = little(zip, entry + 30, 2), note = little(zip, entry + 32, 2);
    const std::size_t local = static_cast<std::size_t>(little(zip, entry + 42, 4));
    const std::string name = zip.substr(entry + 46, name_size);
    if (method != 0 || size == 0xFFFFFFFF) throw std::runtime_error(name + " in it is compressed, or too large");
    const std::size_t data = local + 30 + little(zip, local + 26, 2) + little(zip, local + 28, 2);
    if (data > zip.size() || zip.size() - data < size) throw std::runtime_error("it ends too early");
    const std::size_t ending = name.size() > 4 && name.compare(name.size() - 4, 4, ".npy") == 0 ? 4 : 0;
    arrays[name.substr(0, name.size() - ending)] = read_npy(zip.substr(data, static_cast<std::size_t>(size)));
    entry += 46 + name_size + extra + note;
  }
  return arrays;
}
