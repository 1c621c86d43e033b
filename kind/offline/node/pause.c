/* The process that holds a pod's namespaces: it waits, reaps what is orphaned to it, and ends when told to. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

int main(void) {
	sigset_t watched;
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGTERM);
	sigprocmask(SIG_BLOCK, &watched, 0);
	for (;;) {
		int got = 0;
		if (sigwait(&watched, &got) != 0) continue;
		if (got != SIGCHLD) return 0;
		while (waitpid(-1, 0, WNOHANG) > 0) {}
	}
}
