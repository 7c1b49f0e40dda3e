/** What the thread that works in network namespaces is asked, and answers. */

/** Work of the thread. */
export type NamespaceTask =
  /** Make a namespace with its loopback interface up, and keep it by a bind mount on the file `path`. */
  | { readonly kind: "create"; readonly path: string }
  /** Bring up the loopback interface of the namespace at `path`. */
  | { readonly kind: "loopback"; readonly path: string };

export interface NamespaceRequest {
  readonly id: number;
  readonly task: NamespaceTask;
}

export interface NamespaceReply {
  readonly id: number;
  readonly error?: { readonly message: string; readonly code: string | undefined };
}
