//! Readings of the same thing that overlap: whose answer is shown.

/**
 * What was asked later wins, but nobody waits for it: until its answer is there, that of an earlier reading of the same question is shown. Otherwise
 * readings that begin sooner than they end would show nothing at all.
 */
export class Readings {
  private last = 0;
  /** The first whose answer is still to be shown. */
  private oldest = 1;
  private question: string | undefined;

  /** The number of a reading that begins. */
  begin(question: string): number {
    this.last += 1;
    if (question !== this.question) this.oldest = this.last;
    this.question = question;
    return this.last;
  }

  /** Whether this one's answer is shown, as it comes; the answers of those before it are not from then on. */
  takes(reading: number): boolean {
    if (reading < this.oldest) return false;
    this.oldest = reading + 1;
    return true;
  }

  /** Whether nothing has begun since. */
  isLast(reading: number): boolean {
    return reading === this.last;
  }
}
