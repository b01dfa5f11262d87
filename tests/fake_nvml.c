/* Stands in for the driver's libnvidia-ml.so.1 where there is no card: the calls that the appliance makes, with the
   types of nvml.h, and the answers that the environment variable FAKE_NVML asks for. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int status;
typedef struct { int index; } device;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;

static device cards[2] = {{0}, {1}}, slices[2] = {{10}, {11}};

static int is(const char *scene) {
    const char *asked = getenv("FAKE_NVML");
    return asked && strcmp(asked, scene) == 0;
}

status nvmlInit_v2(void) {
    if (is("not loaded")) return 9;
    if (is("mismatch")) return 18;
    if (is("no permission")) return 4;
    if (is("blocked")) return 17;
    if (is("hangs")) pause();
    if (is("crashes")) raise(SIGSEGV);
    return 0;
}
status nvmlShutdown(void) { return 0; }
status nvmlSystemGetDriverVersion(char *text, unsigned room) {
    strncpy(text, is("old") ? "470.256.02" : "570.124.06", room);
    return 0;
}
status nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = is("old") ? 11040 : 12080; return 0; }
status nvmlDeviceGetCount_v2(unsigned *count) { *count = is("no card") ? 0 : 2; return 0; }
status nvmlDeviceGetHandleByIndex_v2(unsigned index, device **found) {
    if (is("lost") && index == 1) return 15;
    *found = &cards[index];
    return 0;
}
status nvmlDeviceGetName(device *card, char *text, unsigned room) {
    strncpy(text, card->index ? "NVIDIA L4" : "NVIDIA H20", room);
    return 0;
}
status nvmlDeviceGetMemoryInfo(device *card, memory *found) {
    unsigned long long total = card->index >= 10 ? 12000000000ULL : card->index ? 24000000000ULL : 96000000000ULL;
    found->total = total;
    found->free = total / 2;
    found->used = total - found->free;
    return 0;
}
status nvmlDeviceGetCudaComputeCapability(device *card, int *major, int *minor) {
    *major = card->index ? 8 : 9;
    *minor = card->index ? 9 : 0;
    return 0;
}
status nvmlDeviceGetEccMode(device *card, int *current, int *pending) {
    if (card->index == 1) return 3;
    *current = *pending = 1;
    return 0;
}
status nvmlDeviceGetTotalEccErrors(device *card, int kind, int counter, unsigned long long *count) {
    if (card->index == 1 || kind != 1 || counter != 0) return 3;
    *count = is("ecc") ? 5 : 0;
    return 0;
}
status nvmlDeviceGetMigMode(device *card, unsigned *current, unsigned *pending) {
    if (card->index == 1) return 3;
    *current = *pending = is("mig") || is("mig empty");
    return 0;
}
status nvmlDeviceGetMaxMigDeviceCount(device *card, unsigned *count) { *count = card->index ? 0 : 7; return 0; }
status nvmlDeviceGetMigDeviceHandleByIndex(device *card, unsigned index, device **found) {
    if (!is("mig") || card->index || index > 1) return 6;
    *found = &slices[index];
    return 0;
}
status nvmlDeviceGetComputeRunningProcesses_v3(device *card, unsigned *count, process *found) {
    unsigned here = card->index ? 0 : is("many") ? 100 : is("held") ? 2 : 0, i;
    if (*count < here) { *count = here; return 7; }
    for (i = 0; i < here; i++) {
        found[i].pid = i ? 4000000 + i : (unsigned) getppid();
        found[i].used = i ? ~0ULL : 61000000000ULL;
        found[i].gpu_instance = found[i].compute_instance = ~0U;
    }
    *count = here;
    return 0;
}
