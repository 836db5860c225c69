/* A PKCS#11 module in front of another one: it counts calls, holds them, and answers
 * what a test wants instead of the module.
 *
 * $FAULTY_MODULE_OF is the module behind. A test talks to this one through the
 * functions at the end, by ctypes, in the process that uses it. Every function of
 * PKCS#11 takes at most eight arguments of a word each, so that one thunk does for all.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long word;
typedef word (*function)(word, word, word, word, word, word, word, word);

enum { FUNCTIONS = 68, CRASH = 0xdead, HIDDEN = 0x80000bad };
enum { INITIALIZE = 0, FINALIZE = 1, GET_TOKEN_INFO = 6, GET_MECHANISM_LIST = 7 };
enum { OPEN_SESSION = 12, CLOSE_SESSION = 13 };

static const char *const names[FUNCTIONS] = { /* CK_FUNCTION_LIST, PKCS#11 2.40. */
    "C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList",
    "C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo",
    "C_InitToken", "C_InitPIN", "C_SetPIN", "C_OpenSession", "C_CloseSession",
    "C_CloseAllSessions", "C_GetSessionInfo", "C_GetOperationState",
    "C_SetOperationState", "C_Login", "C_Logout", "C_CreateObject", "C_CopyObject",
    "C_DestroyObject", "C_GetObjectSize", "C_GetAttributeValue",
    "C_SetAttributeValue", "C_FindObjectsInit", "C_FindObjects",
    "C_FindObjectsFinal", "C_EncryptInit", "C_Encrypt", "C_EncryptUpdate",
    "C_EncryptFinal", "C_DecryptInit", "C_Decrypt", "C_DecryptUpdate",
    "C_DecryptFinal", "C_DigestInit", "C_Digest", "C_DigestUpdate", "C_DigestKey",
    "C_DigestFinal", "C_SignInit", "C_Sign", "C_SignUpdate", "C_SignFinal",
    "C_SignRecoverInit", "C_SignRecover", "C_VerifyInit", "C_Verify",
    "C_VerifyUpdate", "C_VerifyFinal", "C_VerifyRecoverInit", "C_VerifyRecover",
    "C_DigestEncryptUpdate", "C_DecryptDigestUpdate", "C_SignEncryptUpdate",
    "C_DecryptVerifyUpdate", "C_GenerateKey", "C_GenerateKeyPair", "C_WrapKey",
    "C_UnwrapKey", "C_DeriveKey", "C_SeedRandom", "C_GenerateRandom",
    "C_GetFunctionStatus", "C_CancelFunction", "C_WaitForSlotEvent",
};

struct list { unsigned char version[2]; function functions[FUNCTIONS]; };

static struct list *real, ours;
static struct {
    word code;               /* What to answer, */
    unsigned skip, times;    /* after so many calls, and how many times. */
    unsigned calls, succeeded;
} state[FUNCTIONS];
static unsigned inside, most_inside, held, is_held[FUNCTIONS];
static word hidden = HIDDEN;
static unsigned has_a_lock;
static int is_itself = 1; /* Or says who made the token behind. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static word enter(int i)
{
    word code = 0;
    if (has_a_lock)
        pthread_mutex_lock(&lock);
    pthread_mutex_lock(&mutex);
    state[i].calls++;
    if (++inside > most_inside)
        most_inside = inside;
    if (state[i].skip)
        state[i].skip--;
    else if (state[i].times) {
        state[i].times--;
        code = state[i].code;
    }
    held += is_held[i];
    pthread_cond_broadcast(&changed);
    while (is_held[i])
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    if (code == CRASH)
        abort();
    return code;
}

static word leave(int i, word result)
{
    pthread_mutex_lock(&mutex);
    inside--;
    state[i].succeeded += result == 0;
    if (i == FINALIZE && result == 0) /* It closes all sessions. */
        state[OPEN_SESSION].succeeded = state[CLOSE_SESSION].succeeded = 0;
    pthread_mutex_unlock(&mutex);
    if (has_a_lock)
        pthread_mutex_unlock(&lock);
    return result;
}

static word flags; /* CK_C_INITIALIZE_ARGS: four functions, then its flags. */

static word forward(int i, word a, word b, word c, word d, word e, word f, word g, word h)
{
    word result = enter(i);
    if (i == INITIALIZE)
        flags = a ? ((word *)a)[4] : 0;
    if (!result)
        result = real->functions[i](a, b, c, d, e, f, g, h);
    if (i == GET_MECHANISM_LIST && !result && b)
        for (word n = 0; n < *(word *)c; n++)
            if (((word *)b)[n] == hidden)
                ((word *)b)[n] = HIDDEN;
    if (i == GET_TOKEN_INFO && !result && is_itself) /* CK_TOKEN_INFO.manufacturerID */
        memset((char *)b + 32, '-', 32);
    return leave(i, result);
}

#define THUNK(i) \
    static word f##i(word a, word b, word c, word d, word e, word f, word g, word h) \
    { return forward(i, a, b, c, d, e, f, g, h); }
#define TEN(M, t) M(t##0) M(t##1) M(t##2) M(t##3) M(t##4) M(t##5) M(t##6) M(t##7) M(t##8) M(t##9)
#define ALL(M) TEN(M, ) TEN(M, 1) TEN(M, 2) TEN(M, 3) TEN(M, 4) TEN(M, 5) \
    M(60) M(61) M(62) M(63) M(64) M(65) M(66) M(67)
ALL(THUNK)

word C_GetFunctionList(struct list **answer)
{
#define ENTRY(i) ours.functions[i] = f##i;
    if (!real) {
        void *module = dlopen(getenv("FAULTY_MODULE_OF"), RTLD_NOW);
        word (*ask)(struct list **) = module ? dlsym(module, "C_GetFunctionList") : 0;
        if (!ask || ask(&real))
            return 5;
        memcpy(ours.version, real->version, 2);
        ALL(ENTRY)
    }
    *answer = &ours;
    return 0;
}

/* What a test calls. */

static int number(const char *name)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (!strcmp(names[i], name))
            return i;
    abort();
}

void faulty_answer(const char *name, word code, unsigned skip, unsigned times)
{
    int i = number(name);
    state[i].code = code;
    state[i].skip = skip;
    state[i].times = times;
}

unsigned faulty_calls(const char *name) { return state[number(name)].calls; }
unsigned faulty_succeeded(const char *name) { return state[number(name)].succeeded; }
word faulty_flags(void) { return flags; }
unsigned faulty_most_inside(void) { return most_inside; }
void faulty_hide_mechanism(word mechanism) { hidden = mechanism; }
void faulty_lock(void) { has_a_lock = 1; }
void faulty_show_manufacturer(void) { is_itself = 0; }
void faulty_remove(const char *name) { ours.functions[number(name)] = 0; }

/* Calls of a function wait in the module until it is let go. */
void faulty_hold(const char *name, unsigned is)
{
    pthread_mutex_lock(&mutex);
    is_held[number(name)] = is;
    held = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

unsigned faulty_held(void) { return held; }
