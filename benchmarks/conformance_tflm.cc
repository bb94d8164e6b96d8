/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of TFLM's kernel_runner.cc: runs a kernel as that does, and writes what it was given and what it made as a line of JSON to the
 * file that EDGEFF_VECTORS names (benchmarks/conformance_tflm.py). */
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tensorflow/lite/c/builtin_op_data.h"
#include "tensorflow/lite/micro/kernels/kernel_runner.h"

namespace tflite {
namespace micro {

constexpr int KernelRunner::kKernelRunnerBufferSize_;
uint8_t KernelRunner::kKernelRunnerBuffer_[];

static TfLiteTensor* tensors_given;

static std::string number(double value) {
  char text[40];
  snprintf(text, sizeof text, "%.17g", value);
  return text;
}

static std::string tensor(const TfLiteTensor& t) {
  std::string text = "{\"type\":" + number(t.type) + ",\"shape\":[";
  for (int i = 0; i < t.dims->size; ++i) text += (i ? "," : "") + number(t.dims->data[i]);
  text += "],\"scale\":[";
  std::string zeros, axis = "0";
  const auto* affine = static_cast<const TfLiteAffineQuantization*>(t.quantization.params);
  if (t.quantization.type == kTfLiteAffineQuantization && affine && affine->scale) {
    for (int i = 0; i < affine->scale->size; ++i) {
      text += (i ? "," : "") + number(affine->scale->data[i]);
      zeros += (i ? "," : "") + number(affine->zero_point && i < affine->zero_point->size ? affine->zero_point->data[i] : 0);
    }
    axis = number(affine->quantized_dimension);
  } else if (t.params.scale != 0) {
    text += number(t.params.scale);
    zeros = number(t.params.zero_point);
  }
  text += "],\"zero\":[" + zeros + "],\"axis\":" + axis + ",\"variable\":" + (t.is_variable ? "true" : "false") + ",\"data\":\"";
  for (size_t i = 0; i < t.bytes && t.data.raw; ++i) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(t.data.raw[i]));
    text += hex;
  }
  return text + "\"}";
}

static std::string tensors(const TfLiteIntArray* indices) {
  std::string text = "[";
  for (int i = 0; i < indices->size; ++i) {
    text += std::string(i ? "," : "") + (indices->data[i] < 0 ? "null" : tensor(tensors_given[indices->data[i]]));
  }
  return text + "]";
}

/* The options of the kernels in VECTORS_OPTIONS, which the build defines as the C type of a test's options. */
static std::string options(const void* data) {
  std::string text;
  if (!data) return text;
#ifdef VECTORS_OPTIONS
  const auto& o = *static_cast<const VECTORS_OPTIONS*>(data);
#define FIELD(name) text += std::string(text.empty() ? "" : ",") + "\"" #name "\":" + number(static_cast<double>(o.name));
  VECTORS_FIELDS
#endif
  return text;
}

KernelRunner::KernelRunner(const TFLMRegistration& registration, TfLiteTensor* given, int, TfLiteIntArray* inputs, TfLiteIntArray* outputs,
                           const void* builtin_data, TfLiteIntArray* intermediates)
    : registration_(registration),
      allocator_(SingleArenaBufferAllocator::Create(kKernelRunnerBuffer_, kKernelRunnerBufferSize_)),
      mock_micro_graph_(allocator_),
      fake_micro_context_(given, allocator_, &mock_micro_graph_) {
  tensors_given = given;
  context_.impl_ = static_cast<void*>(&fake_micro_context_);
  context_.ReportError = MicroContextReportOpError;
  context_.GetTensor = MicroContextGetTensor;
  context_.GetEvalTensor = MicroContextGetEvalTensor;
  context_.AllocatePersistentBuffer = MicroContextAllocatePersistentBuffer;
  context_.RequestScratchBufferInArena = MicroContextRequestScratchBufferInArena;
  context_.GetExternalContext = MicroContextGetExternalContext;
  context_.GetScratchBuffer = MicroContextGetScratchBuffer;
  node_.inputs = inputs;
  node_.outputs = outputs;
  node_.builtin_data = const_cast<void*>(builtin_data);
  node_.intermediates = intermediates;
}

bool KernelRunner::ValidateTempBufferDeallocated() { return fake_micro_context_.IsAllTempTfLiteTensorDeallocated(); }

TfLiteStatus KernelRunner::InitAndPrepare(const char* init_data, size_t length) {
  if (registration_.init) node_.user_data = registration_.init(&context_, init_data, length);
  return registration_.prepare ? registration_.prepare(&context_, &node_) : kTfLiteOk;
}

TfLiteStatus KernelRunner::Invoke() {
  const std::string before = tensors(node_.inputs);
  const TfLiteStatus status = registration_.invoke(&context_, &node_);
  const char* path = std::getenv("EDGEFF_VECTORS");
  FILE* file = status == kTfLiteOk && path ? std::fopen(path, "a") : nullptr;
  if (file) {
    const char* op = "?";
#define KERNEL(name) if (registration_.invoke == Register_##name().invoke && registration_.prepare == Register_##name().prepare) op = #name;
    VECTORS_KERNELS
    std::fprintf(file, "{\"op\":\"%s\",\"inputs\":%s,\"options\":{%s},\"outputs\":%s}\n", op, before.c_str(),
                 options(node_.builtin_data).c_str(), tensors(node_.outputs).c_str());
    std::fclose(file);
  }
  return status;
}

TfLiteStatus KernelRunner::Reset() {
  if (registration_.reset) registration_.reset(&context_, node_.user_data);
  return kTfLiteOk;
}

TfLiteStatus KernelRunner::Free() {
  if (registration_.free) registration_.free(&context_, node_.user_data);
  return kTfLiteOk;
}

}  // namespace micro
}  // namespace tflite
